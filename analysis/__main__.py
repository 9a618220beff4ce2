"""`python -m analysis COMMAND`: tables and curves from runs, published points and results files."""

import argparse
import ast
import difflib
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from analysis.arguments import take_results
from analysis.errors import AnalysisError
from lic_exp.cli.version import VERSION, show_version
from lic_exp.command_parser import CommandParser
from lic_exp.program import run_program
from lic_exp.saying import say

FOLDER = Path(__file__).parent / "cli"
"""A command is a file here. Only the one that is asked for is imported."""

MISNAMED = (FileExistsError, FileNotFoundError, NotADirectoryError, IsADirectoryError)
"""What a name of somebody's leads to that is nowhere, or is no file or no folder."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code: 0 done, 1 a disk or its rights refuse, 2 the command is wrong."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    return run_program(lambda: _main(given))


def _main(arguments: Sequence[str]) -> int:
    try:
        if arguments[:1] == [VERSION]:
            return show_version()
        if not arguments or arguments[0].startswith("-"):
            _parser().parse_args(arguments)
        return _run(arguments[0], arguments[1:])
    except AnalysisError as error:
        say(str(error))
        return 2
    except MISNAMED as error:
        if error.filename is None:
            raise
        say(f"{error.filename} cannot be read or written: {error.strerror}")
        return 2


def commands() -> dict[str, Path]:
    """{name: file}"""
    return {path.stem: path for path in sorted(FOLDER.glob("[!_]*.py"))}


def _run(name: str, arguments: Sequence[str]) -> int:
    known = commands()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise AnalysisError(f"there is no command {name}.{hint} Commands: {', '.join(known)}")
    command = import_module(f"analysis.cli.{name}")
    parser = CommandParser(prog=f"python -m analysis {name}", description=command.__doc__)
    command.add_arguments(parser)
    options = parser.parse_intermixed_args(arguments)  # names may stand after options as well
    take_results(options)
    code: int = command.run(options)
    return code


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, commands()))
    listed = "\n".join(f"  {name:{width}}  {_summary(path)}" for name, path in commands().items())
    parser = CommandParser(
        prog="python -m analysis",
        description=__doc__,
        epilog=f"commands:\n{listed}\n\n{VERSION} says which version and commit this is",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", metavar="COMMAND", help="one of those below; COMMAND --help says more")
    return parser


def _summary(path: Path) -> str:
    """The first line of the command's docstring, which is read, not imported."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]


if __name__ == "__main__":
    sys.exit(main())
