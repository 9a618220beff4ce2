"""Which commands there are: the modules of this package that state a SUMMARY.

That is read as syntax, as components' options are, so that listing them imports none: each may import at its top what
it needs, and a new command touches one file. It states

    SUMMARY = "what the list of commands says of it"
    DESCRIPTION = "What its own --help begins with."
    HIDDEN = True       where people have no use for it: then it is in no list

and offers `add_arguments(parser)` and `run(options)`, which returns the exit code; or, where it does not parse by
argparse, `main(arguments)` alone. An underscore in the module's name is a hyphen in the command's.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent


class Command(NamedTuple):
    """module: its full name, not imported yet."""

    name: str
    module: str
    summary: str
    hidden: bool


def commands() -> list[Command]:
    """All of them by name, the hidden ones too."""
    found = (_command(path) for path in sorted(HERE.glob("*.py")))
    return [command for command in found if command is not None]


def find_command(name: str) -> Command | None:
    """The command of this name, whose file alone is read; None where there is none."""
    module = name.replace("-", "_")
    path = HERE / f"{module}.py"
    if not module.isidentifier() or "_" in name or not path.is_file():
        return None
    return _command(path)


def _command(path: Path) -> Command | None:
    stated = dict(_literals(path))
    if "SUMMARY" not in stated:
        return None
    name, module = path.stem.replace("_", "-"), f"{__package__}.{path.stem}"
    return Command(name, module, str(stated["SUMMARY"]), bool(stated.get("HIDDEN", False)))


def _literals(path: Path) -> Iterator[tuple[str, object]]:
    """What of SUMMARY and HIDDEN the file states at its top level."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name in ("SUMMARY", "HIDDEN"):
                yield name, ast.literal_eval(node.value)
