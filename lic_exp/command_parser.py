"""Parsing what follows a command's name: argparse, but that no argument may be blank, and none is passed over."""

import argparse
import math
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, NoReturn

from lic_exp.text import blank_message, is_blank, shortened, visible


class CommandParser(argparse.ArgumentParser):
    """Refuses blank text whatever an argument means by it: as a path, "" would be the working directory.

    An option with a value is given once, unless it says `action="append"`: argparse takes the last one, in silence.
    Both is done where an argument is added, so that a new one cannot forget it. What it says is one line.
    """

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.given: set[str] = set()
        for name in (None, "store"):
            self.register("action", name, _StoreOnce)

    def parse_known_args(self, *arguments: Any, **more: Any) -> Any:
        self.given.clear()
        return super().parse_known_args(*arguments, **more)

    def add_argument(self, *names: Any, **given: Any) -> argparse.Action:
        return _checked(super().add_argument(*names, **given))

    def add_mutually_exclusive_group(self, **options: Any) -> Any:
        """argparse's, whose arguments are as those that are in no group."""
        group = super().add_mutually_exclusive_group(**options)
        plain = group.add_argument

        def add_argument(*names: Any, **given: Any) -> argparse.Action:
            return _checked(plain(*names, **given))

        group.add_argument = add_argument  # type: ignore[method-assign]
        return group

    def error(self, message: str) -> NoReturn:
        super().error(visible(message))


def _checked(action: argparse.Action) -> argparse.Action:
    if action.nargs != 0:  # else a flag, which has no text
        action.type = _not_blank(action.type or str)
    return action


def _not_blank(kind: Any) -> Callable[[str], Any]:
    """The argument type `kind` for text that is not blank."""

    @wraps(kind, updated=())
    def typed(text: str) -> Any:
        if is_blank(text):
            raise argparse.ArgumentTypeError(blank_message("it"))
        return kind(text)

    return typed


class _StoreOnce(argparse.Action):
    """argparse's own `store`, for an option that is given once."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        if self.nargs is None and values == []:  # what argparse makes of `--option=--`
            raise argparse.ArgumentError(self, "-- is no value, but ends the options")
        if isinstance(parser, CommandParser) and option_string is not None:
            if self.dest in parser.given:
                several = "" if self.nargs is None else ": name all of its values after one"
                raise argparse.ArgumentError(self, f"it is given twice{several}")
            parser.given.add(self.dest)
        setattr(namespace, self.dest, values)


def whole_number(least: int, most: int = 1_000_000) -> Callable[[str], int]:
    """The type of an argument that is a whole number from `least` to `most`."""

    def typed(text: str) -> int:
        try:
            number = int(text)
        except ValueError:  # also of thousands of digits
            number = least - 1
        if not least <= number <= most:
            raise _out_of_range(text, f"a whole number from {least} to {most}")
        return number

    return typed


def finite_number(least: float, most: float) -> Callable[[str], float]:
    """The type of an argument that is a number from `least` to `most`."""

    def typed(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not least <= number <= most:
            raise _out_of_range(text, f"a number from {least:g} to {most:g}")
        return number

    return typed


def _out_of_range(text: str, right: str) -> argparse.ArgumentTypeError:
    return argparse.ArgumentTypeError(f"{shortened(visible(text), 40)} should be {right}")
