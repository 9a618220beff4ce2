"""What the verbs of `python -m lic_exp` share: arguments, questions, and how sizes and ages are written."""

import argparse
import sys
from typing import TYPE_CHECKING, TypeAlias

from lic_exp.launching.errors import ConfigError

if TYPE_CHECKING:
    Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_runs(parser: argparse.ArgumentParser) -> None:
    """The option `--runs`."""
    parser.add_argument("--runs", default="runs", metavar="FOLDER", help="where run folders are (default: runs)")


def add_run(parser: argparse.ArgumentParser) -> None:
    """The argument RUN, with `--runs` in which it is looked up."""
    parser.add_argument("run", metavar="RUN", help="run folder, signature, or the beginning of one")
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
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def size_text(count: float) -> str:
    """Bytes as people read them: 812 B, 5.4 MB."""
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.95:
            return f"{count:.1f} {unit}"
    return f"{count / 1000:.1f} TB"


def age_text(seconds: float) -> str:
    """A time span in its largest whole unit: 50 s, 3 min, 7 h, 12 d."""
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def shortened(text: str, width: int) -> str:
    """The text, cut to `width` characters where it is longer."""
    return text if len(text) <= width else text[: width - 1] + "…"
