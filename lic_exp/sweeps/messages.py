"""What a sweep's commands tell people while they work."""

import sys


def say(text: str) -> None:
    """A line for people; what is in it is data, so that a newline in a value begins no line."""
    print(text.replace("\n", "\\n").replace("\r", "\\r"), file=sys.stderr, flush=True)
