"""How far an evaluation is: a bar on a terminal, now and then a line elsewhere."""

import operator
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from rich.console import Console
from rich.progress import track

T = TypeVar("T")

SECONDS_BETWEEN_LINES = 5.0

WORDS = ("evaluating", "evaluated")


def watch(
    images: Iterable[T], console: Console | None, failures: Sized = (), words: tuple[str, str] = WORDS
) -> Iterator[T]:
    """Yield `images`, saying on `console` how far it is: a bar on a terminal, now and then a line elsewhere.

    failures: grows by one for each of them that could not be evaluated, and is no part of what was.
    words: what is done with them, and what has been.
    """
    total = operator.length_hint(images) or None
    if console is None:
        yield from images
    elif console.is_terminal:
        yield from track(images, words[0], total=total, console=console, transient=True)
    else:
        yield from _watch_in_lines(images, total, console, failures, words[1])


def _watch_in_lines(images: Iterable[T], total: int | None, console: Console, failures: Sized, did: str) -> Iterator[T]:
    start = said = time.monotonic()
    done = 0
    for done, image in enumerate(images, start=1):
        yield image
        now = time.monotonic()
        if now - said >= SECONDS_BETWEEN_LINES and done != total:
            console.print(_so_far(did, done, failures, f" of {total or '?'} images", f"{now - start:.0f} s"))
            said = now
    of = f" of {done} images" if failures else " image" if done == 1 else " images"
    console.print(_so_far(did, done, failures, of, f"{time.monotonic() - start:.1f} s"))


def _so_far(did: str, done: int, failures: Sized, of: str, after: str) -> str:
    failed = f"; {len(failures)} could not be" if failures else ""
    return f"{did} {done - len(failures)}{of} in {after}{failed}"
