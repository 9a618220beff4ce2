"""Metric names: each spelled once, and none that nobody uses."""

import ast
import re

import pytest
from checkout import ROOT

from lic_exp.tracking import names

METRIC = re.compile(r"(train|val|spectral|grad|eval)/\w+")
HOME = "lic_exp/tracking/names.py"


def spelled(code):
    """Metric names, or their beginnings, that a module spells out of docstrings and other sentences."""
    tree = ast.parse(code)
    sentences = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    parts = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    texts = [node.value for node in parts if node not in sentences]
    return [text for text in texts if METRIC.fullmatch(text) or text in ("train/", "val/", "spectral/", "grad/")]


def modules(*packages):
    return {
        str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
        for package in packages
        for path in sorted((ROOT / package).rglob("*.py"))
    }


def test_no_other_module_spells_a_metric():
    found = {path: spelled(code) for path, code in modules("lic_exp").items()}
    assert len(found.pop(HOME)) > 20
    assert {path: texts for path, texts in found.items() if texts} == {}


@pytest.mark.parametrize(
    "code", ['x = "val/rd_loss"', 'x = f"train/{y}"', 'f({"grad/net": 1.0})', 'x = f"val/bpp_{q}"']
)
def test_a_planted_name_is_found(code):
    assert spelled(code)
    assert spelled(f'def f():\n    """Of val/rd_loss."""\n    "train/loss"\n    {code}') == spelled(code)


def test_every_name_is_used():
    """By the platform or by analysis, and not by tests alone; or by another of the names."""
    texts = modules("lic_exp", "analysis")
    home, code = texts.pop(HOME), "\n".join(texts.values())
    unused = [name for name in vars(names) if not re.search(rf"\b(names\.|import .*\b){name}\b", code)]
    assert [name for name in unused if not name.startswith("__") and len(re.findall(rf"\b{name}\b", home)) < 2] == []
