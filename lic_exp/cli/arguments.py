"""What commands share: arguments, and asking before something is deleted."""

import argparse
import sys

from lic_exp.config.errors import ConfigError
from lic_exp.saying import ask


def add_runs(parser: argparse.ArgumentParser) -> None:
    """The option `--runs`, of one folder."""
    parser.add_argument("--runs", default="runs", metavar="FOLDER", help="where run folders are (default: runs)")


def add_several_runs(parser: argparse.ArgumentParser) -> None:
    """The option `--runs`, of as many folders as it is given times; None where it is not given."""
    text = "where run folders are, also several times (default: runs)"
    parser.add_argument("--runs", action="append", metavar="FOLDER", help=text)


def add_run(parser: argparse.ArgumentParser) -> None:
    """The argument RUN, with `--runs` in which it is looked up."""
    parser.add_argument("run", metavar="RUN", help="run folder, signature, or the beginning of one")
    add_runs(parser)


def add_sweep(parser: argparse.ArgumentParser, *, cells: bool = False) -> None:
    """The argument SWEEP, with `--runs` in which it is looked up. cells: also CELL ..., some of its cells."""
    parser.add_argument(
        "sweep", metavar="SWEEP", nargs="?", help="name, its beginning, or folder (default: the latest)"
    )
    if cells:
        parser.add_argument("cell", metavar="CELL", nargs="*", help="signature or label (default: all)")
    add_runs(parser)


def add_yes(parser: argparse.ArgumentParser) -> None:
    """The option `--yes`."""
    parser.add_argument("--yes", action="store_true", help="do not ask")


def confirmed(question: str, *, yes: bool) -> bool:
    """Whether to go ahead. Raises ConfigError where it would have to ask and nobody is there."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise ConfigError(["no terminal to ask on, so nothing was removed; --yes goes ahead without asking"])
    ask(f"{question} [y/N] ")
    return sys.stdin.readline().strip().lower() in ("y", "yes")
