"""What the arguments of every command have in common."""

import argparse
from importlib import import_module

import pytest

import analysis.__main__
import lic_exp.__main__
from lic_exp import exit_codes
from lic_exp.cli.commands import commands
from lic_exp.command_parser import CommandParser

MODULES = [command.module for command in commands()]
MODULES += [f"analysis.cli.{name}" for name in analysis.__main__.commands()]


def parser_of(module):
    """The parser of a command; None of one that parses by itself."""
    found = import_module(module)
    if not hasattr(found, "add_arguments"):
        return None
    parser = CommandParser()
    found.add_arguments(parser)
    return parser


@pytest.mark.parametrize("module", MODULES)
def test_an_option_is_given_once_or_all_of_its_values_count(module):
    parser = parser_of(module)
    options = [action for action in parser._actions if action.option_strings and action.nargs != 0] if parser else []
    for action in options:
        parser.given.clear()
        found = argparse.Namespace()
        action(parser, found, ["a"], action.option_strings[0])
        if isinstance(action, argparse._AppendAction):
            action(parser, found, ["b"], action.option_strings[0])
            assert getattr(found, action.dest) == [["a"], ["b"]]
        else:
            with pytest.raises(argparse.ArgumentError, match="it is given twice"):
                action(parser, found, ["b"], action.option_strings[0])


@pytest.mark.parametrize("module", MODULES)
def test_a_number_has_a_range(module):
    parser = parser_of(module)
    kinds = [getattr(action.type, "__wrapped__", None) for action in parser._actions] if parser else []
    assert not {int, float} & set(kinds), "`whole_number` or `finite_number` of lic_exp.command_parser says which"


RANGES = [
    ("analysis", ["speedup", "--baseline", "a", "--test", "b", "-k"], ["0", "-1", "1.5", "nan", "x", "9" * 400]),
    ("analysis", ["ablation", "table2", "-k"], ["0", "-3", "1e3", ""]),
    ("lic_exp", ["logs", "-n"], ["0", "-5", "all", "9" * 5000]),
    ("lic_exp", ["retry", "--slots"], ["0", "-1", "2.5", "1" + "0" * 30]),
    ("lic_exp", ["wait", "--timeout"], ["-1", "nan", "inf", "1e400", "soon"]),
    ("lic_exp", ["complexity", "hyperprior_tiny", "--size"], ["0x0", "1x0", "99999999x9", "9" * 400 + "x1", "7"]),
]


@pytest.mark.parametrize(
    ("package", "arguments", "text"),
    [(package, arguments, text) for package, arguments, texts in RANGES for text in texts],
)
def test_a_number_out_of_its_range_is_refused(package, arguments, text, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    main = {"analysis": analysis.__main__.main, "lic_exp": lic_exp.__main__.main}[package]
    try:
        code = main([*arguments, text])
    except SystemExit as end:
        code = end.code
    said = capsys.readouterr()
    assert (code, said.out) == (exit_codes.CONFIG, "")
    assert "should be " in said.err or "is empty" in said.err or "expected one argument" in said.err
    assert max(map(len, said.err.splitlines())) < 400


@pytest.mark.parametrize("option", ["--published", "--data"])
def test_what_ends_the_options_is_no_value_of_one(option, capsys):
    with pytest.raises(SystemExit) as end:
        lic_exp.__main__.main(["verify", "weights.pth", f"{option}=--"])
    assert end.value.code == exit_codes.CONFIG
    assert f"argument {option}: -- is no value" in capsys.readouterr().err
