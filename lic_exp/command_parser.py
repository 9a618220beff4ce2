"""Parsing what follows a command's name: argparse, but that no argument may be blank."""

import argparse
from collections.abc import Callable
from functools import wraps
from typing import Any, NoReturn

from lic_exp.text import blank_message, is_blank, visible


class CommandParser(argparse.ArgumentParser):
    """Refuses blank text whatever an argument means by it: as a path, "" would be the working directory.

    That is done where an argument is added, so that a new one cannot forget it. What it says is one line.
    """

    def add_argument(self, *names: Any, **given: Any) -> argparse.Action:
        action = super().add_argument(*names, **given)
        if action.nargs != 0:  # else a flag, which has no text
            action.type = _not_blank(action.type or str)
        return action

    def error(self, message: str) -> NoReturn:
        super().error(visible(message))


def _not_blank(kind: Any) -> Callable[[str], Any]:
    """The argument type `kind` for text that is not blank."""

    @wraps(kind, updated=())
    def typed(text: str) -> Any:
        if is_blank(text):
            raise argparse.ArgumentTypeError(blank_message("it"))
        return kind(text)

    return typed
