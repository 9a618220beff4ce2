"""No argument of any command may be blank: what an unset shell variable leaves would mean the working directory."""

import argparse
import itertools
from importlib import import_module

import pytest

from analysis.__main__ import commands as analysis_commands
from analysis.__main__ import main as analysis_main
from lic_exp import exit_codes
from lic_exp.__main__ import main
from lic_exp.cli.commands import commands
from lic_exp.cli.launch import main as launch
from lic_exp.command_parser import CommandParser

MAY_BE_BLANK = ()
"""(command, argument) of those where it means something: none."""

MODULES = {f"lic_exp {command.name}": command.module for command in commands() if command.name != "launch"}
MODULES |= {f"analysis {name}": f"analysis.cli.{name}" for name in analysis_commands()}


def arguments_of(module: str) -> list[argparse.Action]:
    parser = CommandParser()
    import_module(module).add_arguments(parser)
    return [action for action in parser._actions if action.nargs != 0]


def line_with(actions: list[argparse.Action], chosen: argparse.Action, blank: str) -> list[str]:
    """A command line whose argument `chosen` is blank; the others that stand by their place are there."""
    option = [chosen.option_strings[-1], blank] if chosen.option_strings else []
    needed = (action for action in actions if action.option_strings and action.required and action is not chosen)
    option += [text for action in needed for text in (action.option_strings[-1], "1")]
    places = (action for action in actions if not action.option_strings)
    return [*option, *(blank if action is chosen else next(iter(action.choices or "1")) for action in places)]


@pytest.mark.parametrize("name", MODULES)
def test_a_blank_argument_is_refused_by_name(name, capsys):
    package, command = name.split()
    actions = arguments_of(MODULES[name])
    assert actions
    for action, blank in itertools.product(actions, ["", " \t"]):
        if (name, action.dest) in MAY_BE_BLANK:
            continue
        with pytest.raises(SystemExit) as end:
            (main if package == "lic_exp" else analysis_main)([command, *line_with(actions, action, blank)])
        assert end.value.code == exit_codes.CONFIG
        (said,) = (line for line in capsys.readouterr().err.splitlines() if "error: argument" in line)
        names = [*action.option_strings, action.metavar or action.dest]
        assert any(f"{text}: it is empty, as an unset shell variable leaves it" in said for text in names)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["evaluation.data="], "evaluation.data= is empty, as an unset shell variable leaves it; null says none"),
        (["init_from= "], "init_from= is empty"),
        (["paths.runs="], "paths.runs= is empty"),
        (["model.weights=''"], "model.weights= is empty"),
        (["data=folder", "data.train=['']", "data.val=[a,'  ']"], "data.train[0]= is empty"),
        (["plugins=['']"], "the name of a package in plugins is empty"),
        (["model="], "model has no option ''"),
        ([""], "An override has the form key=value"),
        (["hydra/launcher=slurm", "hydra.launcher.partition="], "hydra.launcher.partition= is empty"),
    ],
)
def test_a_blank_override_is_refused(line, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert launch(line) == exit_codes.CONFIG
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
