"""The guards of `make lint` bite: the code as it is passes, and one planted violation of each rule does not.

The copies are linted with the project's own configuration, so a loosened configuration fails here.
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from checkout import ROOT, copy_checkout

RUFF = ["ruff"]
MYPY = ["mypy"]
# import-linter has no `python -m` form.
LINT_IMPORTS = ["-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"]

CONTRACT_VIOLATIONS = [
    ("layers", "lic_exp/models/planted.py", "from lic_exp.training import trainer"),
    ("layers", "lic_exp/ops/planted.py", "import lic_exp.metrics"),
    ("layers", "lic_exp/planted.py", "x = 1"),
    ("only config reads configs", "lic_exp/training/planted.py", "import hydra"),
    ("only config reads configs", "lic_exp/planted/__init__.py", "from omegaconf import DictConfig"),
    ("only config reads configs", "analysis/planted.py", "import omegaconf"),
    ("importers of compressai", "lic_exp/evaluation/planted.py", "from compressai.zoo import bmshj2018_hyperprior"),
    ("analysis needs no torch", "analysis/planted.py", "import torch"),
    ("analysis needs no torch", "analysis/planted.py", "from lic_exp.models.base import CodecOutput"),
]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return copy_checkout(tmp_path, "lic_exp", "analysis", "tests", "launch.py", "pyproject.toml")


def plant(checkout: Path, path: str, code: str) -> None:
    target = checkout / path
    target.parent.mkdir(exist_ok=True)
    target.write_text(f'"""Planted."""\n\n{code}\n')


def run(tool: list[str], *arguments: str, checkout: Path) -> tuple[int, str]:
    how = tool if tool[0] == "-c" else ["-m", *tool]
    # Nothing of the caller's: colours, line widths and the user's own settings would change the output.
    environment = {"PATH": str(Path(sys.executable).parent), "HOME": str(checkout), "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, *how, *arguments], cwd=checkout, capture_output=True, text=True, check=False, env=environment
    )
    return done.returncode, done.stdout + done.stderr


def broken_contracts(checkout: Path) -> set[str]:
    code, output = run(LINT_IMPORTS, checkout=checkout)
    broken = set(re.findall(r"^(.+) BROKEN\b", output, flags=re.MULTILINE))
    assert code == bool(broken), output
    return broken


def test_the_code_keeps_every_contract(checkout: Path) -> None:
    assert broken_contracts(checkout) == set()


@pytest.mark.parametrize(("contract", "path", "code"), CONTRACT_VIOLATIONS)
def test_a_planted_import_breaks_its_contract(checkout: Path, contract: str, path: str, code: str) -> None:
    plant(checkout, path, code)

    # A module in no layer breaks "layers" beside the contract it is planted for.
    assert contract in broken_contracts(checkout)


def test_every_contract_has_a_planted_violation() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]

    assert {contract["name"] for contract in settings["contracts"]} == {name for name, _, _ in CONTRACT_VIOLATIONS}


@pytest.mark.parametrize(
    ("code", "rule"),
    [
        ("import os", "F401"),
        ("def f(x=[]):\n    return x", "B006"),
        ("try:\n    x = 1\nexcept Exception:\n    pass", "BLE001"),
    ],
)
def test_ruff_catches_a_planted_fault(checkout: Path, code: str, rule: str) -> None:
    plant(checkout, "lic_exp/planted.py", code)

    exit_code, output = run(RUFF, "check", "--output-format=concise", checkout=checkout)

    assert exit_code == 1
    assert re.search(rf"^lic_exp/planted\.py:\d+:\d+: {rule}\b", output, flags=re.MULTILINE), output


def test_ruff_catches_planted_formatting(checkout: Path) -> None:
    plant(checkout, "lic_exp/planted.py", "x = {  'a':1}")

    exit_code, output = run(RUFF, "format", "--check", checkout=checkout)

    assert exit_code == 1
    assert "lic_exp/planted.py" in output


@pytest.mark.slow
def test_mypy_passes_the_code_and_catches_planted_wrong_returns(checkout: Path) -> None:
    exit_code, output = run(MYPY, checkout=checkout)
    assert exit_code == 0, output

    for package in ("lic_exp", "analysis"):
        plant(checkout, f"{package}/planted.py", 'def width() -> int:\n    return "wide"')
    exit_code, output = run(MYPY, checkout=checkout)

    assert exit_code == 1
    for package in ("lic_exp", "analysis"):
        assert f"{package}/planted.py:4: error: Incompatible return value type" in output
