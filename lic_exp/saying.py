"""Plain lines on the terminal. `lic_exp.console` has tables and colours; nothing else prints."""

import os
import sys
from typing import TextIO

from lic_exp.text import visible


def show(*lines: str) -> None:
    """What was asked for, on the output stream. Each text is one line, whatever is in it: names, paths, reasons."""
    _print(lines, sys.stdout)


def say(*lines: str) -> None:
    """What there is to know beside it, on the error stream, at once and likewise."""
    _print(lines, sys.stderr)
    sys.stderr.flush()


def ask(question: str) -> None:
    """The same, but that the line goes on with the answer."""
    sys.stderr.write(visible(question))
    sys.stderr.flush()


def stop_showing() -> None:
    """After a BrokenPipeError: the reader, say `head`, has seen enough, and what is buffered must not fail at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print(lines: tuple[str, ...], stream: TextIO) -> None:
    stream.writelines(f"{visible(line)}\n" for line in lines)
