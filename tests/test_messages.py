"""What messages tell people to type: flags, commands and keys that are there."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from checkout import ROOT

import analysis.__main__
from lic_exp.cli.commands import commands
from lic_exp.cli.version import VERSION
from lic_exp.command_parser import CommandParser
from lic_exp.config.hydra_app import parse_arguments
from lic_exp.config.options import groups
from lic_exp.config.schema import GROUPS

FILES = sorted(path for package in ("lic_exp", "analysis") for path in (ROOT / package).rglob("*.py"))

OF_OTHERS = ("sweeps/launchers/slurm/", "runs/checkout.py", "runs/machine_places.py")
"""Where flags are those of other programs."""

NO_KEYS = {"data": {"pkl"}, "evaluation": {"json", "coded", "written"}, "tracker": {"sending", "sent"}}
"""What is a file, or a moment of `lic_exp.fault_points`."""


@cache
def texts(path: Path) -> tuple[str, ...]:
    """The texts in a file that are no docstrings; what an f-string puts in is {}."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and isinstance(node.body[0], ast.Expr)
    }
    free = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # below a constant, as its doc
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    return tuple(_texts(tree, docs | free | parts))


def _texts(tree: ast.AST, without: set[int]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in without:
            yield node.value


@cache
def flags() -> set[str]:
    """The flags of all commands."""
    found = set()
    for module in [
        *(command.module for command in commands()),
        *(f"analysis.cli.{name}" for name in analysis.__main__.commands()),
    ]:
        parser = CommandParser()
        add = getattr(import_module(module), "add_arguments", None)
        if add is not None:
            add(parser)
        found |= {flag for action in parser._actions for flag in action.option_strings}
    return (
        found | {f"--{name.replace('_', '-')}" for name in vars(parse_arguments([]))} | {"--cfg", "--multirun", VERSION}
    )


@cache
def keys(group: str) -> set[str]:
    """The keys of all options of a group."""
    found = set(GROUPS[group].model_fields) if group in GROUPS else set()
    for path in (ROOT / "conf" / group).glob("*.yaml"):
        found |= set(yaml.safe_load(path.read_text()) or {})
    return found | NO_KEYS.get(group, set())


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_flag_or_command_in_a_message_is_there(path):
    known = {"lic_exp": {command.name for command in commands()}, "analysis": {*analysis.__main__.commands()}}
    for text in texts(path):
        for package, word in re.findall(r"python -m (lic_exp|analysis) ([a-z][a-z-]*)", text):
            assert word in known[package], text
        if not any(place in str(path) for place in OF_OTHERS):
            named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+(?![{-])\b", text))
            assert named <= flags(), text


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_key_in_a_message_is_there(path):
    names = {
        **{group: group for group in groups([])},
        "hydra.launcher": "hydra/launcher",
        "hydra.sweeper": "hydra/sweeper",
    }
    pattern = re.compile(rf"(?<![\w./])({'|'.join(map(re.escape, names))})\.([a-z_]\w*)\b(?![./(])")
    for text in texts(path):
        for group, key in pattern.findall(text):
            assert key in keys(names[group]), text
        # As it is typed, not as YAML has it.
        assert not re.search(r"\b(use|set|give) \w+: (true|false|null)\b", text), text
