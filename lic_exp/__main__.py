"""What can be done with runs and sweeps: `python -m lic_exp COMMAND`, each a file of `lic_exp.cli`."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from lic_exp import exit_codes
from lic_exp.cli.commands import commands, find_command
from lic_exp.cli.version import VERSION, show_version
from lic_exp.command_parser import CommandParser
from lic_exp.component_schema import ComponentError
from lic_exp.config.errors import ConfigError, did_you_mean
from lic_exp.divergence import DivergedError
from lic_exp.program import run_program
from lic_exp.runs.lock import RunBusyError
from lic_exp.saying import say, show


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code (`lic_exp.exit_codes`); without a command, shows what there is."""
    given = (sys.argv[1:] if arguments is None else list(arguments)) or ["--help"]
    return run_program(lambda: _main(*given))


def _main(name: str, *rest: str) -> int:
    if name in ("-h", "--help"):
        _list_commands()
        return exit_codes.DONE
    if name == VERSION:
        return show_version()
    command = find_command(name)
    if command is None:
        names = [command.name for command in commands() if not command.hidden]
        hint = did_you_mean(name, names)
        say(f"there is no command {name}.{hint} Commands: {', '.join(names)}")
        return exit_codes.CONFIG
    module = import_module(command.module)
    if hasattr(module, "main"):
        code: int = module.main(list(rest))
        return code
    parser = CommandParser(prog=f"lic_exp {name}", description=module.DESCRIPTION)
    module.add_arguments(parser)
    return _run(module, parser.parse_args(rest))


def _run(module: ModuleType, options: argparse.Namespace) -> int:
    """Run a command; what is wrong with its arguments, or what they name, is a message and no traceback."""
    try:
        code: int = module.run(options)
    except (ConfigError, ComponentError) as error:
        say(*(error.messages if isinstance(error, ConfigError) else [str(error)]))
        return exit_codes.CONFIG
    except (RunBusyError, DivergedError) as error:
        say(str(error))
        return exit_codes.BUSY if isinstance(error, RunBusyError) else exit_codes.DIVERGED
    return code


def _list_commands() -> None:
    """Print what there is, which imports no command."""
    listed = [command for command in commands() if not command.hidden]
    width = max(len(command.name) for command in listed)
    lines = [f"  {command.name:<{width}}  {command.summary}" for command in listed]
    show(
        "usage: lic_exp COMMAND ...",
        "",
        __doc__,
        "",
        "commands (each has a --help):",
        *lines,
        "",
        f"{VERSION} says which version and commit this is",
    )


if __name__ == "__main__":
    sys.exit(main())
