"""What every program of ours begins and ends with: streams that take what is said, and ends that are no bug of ours."""

import errno
import os
import sys
import warnings
from collections.abc import Callable
from typing import TextIO

from lic_exp import exit_codes
from lic_exp.saying import say, stop_showing
from lic_exp.surroundings import told_by_path
from lic_exp.text import never_unencodable, visible


def run_program(program: Callable[[], int]) -> int:
    """Run it. Returns its exit code, or that of what ended it from outside, which is said."""
    _open_streams()
    warnings.formatwarning = _warning_text
    try:
        if not _has_working_folder():
            say("the working folder is gone: something removed it. Change to one that is there")
            return exit_codes.CONFIG
        code = program()
        sys.stdout.flush()
    except KeyboardInterrupt:
        say("interrupted")
        return exit_codes.INTERRUPTED
    except BrokenPipeError:
        stop_showing()
        return exit_codes.DONE
    except OSError as error:
        if not (said := told_by_path(error)):
            raise
        if _is_stuck(sys.stdout):
            stop_showing()
            said = f"the output cannot be written: {said}"
        say(said)
        # A name that no file can have was given: nothing of that name was begun.
        return exit_codes.CONFIG if error.errno == errno.ENAMETOOLONG else exit_codes.FAILED
    return code


def _is_stuck(stream: TextIO) -> bool:
    """Whether nothing more can be written to it."""
    try:
        stream.write("\n")
        stream.flush()
    except OSError:
        return True
    return False


def _warning_text(message: Warning | str, category: type[Warning], *where: object, **more: object) -> str:
    """A library's warning on one line: it may hold names of files, and the line of code that gave it helps nobody."""
    return f"{category.__name__}: {visible(str(message))}\n"


def _open_streams() -> None:
    """A stream that the caller closed goes nowhere, so that nothing else is opened in its place and written into."""
    for name, place in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (until the process ends)
            if stream.fileno() != place:
                os.dup2(stream.fileno(), place)
            setattr(sys, name, stream)
    never_unencodable(sys.stdout, sys.stderr)


def _has_working_folder() -> bool:
    try:
        return bool(os.getcwd())
    except FileNotFoundError:
        return False
