"""`python -m analysis`: a command is a file, only the one asked for is imported, and a refusal loads nothing heavy."""

import ast
import json
import subprocess
import sys

import pytest
from checkout import ROOT

from analysis.__main__ import commands, main

SPY = """
import sys
sys.path.insert(0, {root!r})
from analysis.__main__ import main
try:
    code = main({arguments!r})
except SystemExit as ended:
    code = ended.code
heavy = {{"pandas", "matplotlib", "scipy", "mlflow", "torch"}} & set(sys.modules)
mine = [name for name in sys.modules if name.startswith("analysis.cli.")]
print("\\n" + str((code, sorted(heavy), mine)))
"""


def spied(folder, *arguments: str) -> tuple[int, list[str], list[str], str]:
    """Exit code, heavy modules, commands imported, and what was printed."""
    code = SPY.format(root=str(ROOT), arguments=list(arguments))
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    *_, last = done.stdout.splitlines()
    return (*ast.literal_eval(last), done.stdout + done.stderr)


def test_help_lists_every_file_with_its_first_line(tmp_path):
    code, heavy, imported, shown = spied(tmp_path, "--help")
    assert (code, heavy, imported) == (0, [], [])
    known = {"ablation", "anchors", "bdrate", "collect", "compare", "complexity", "plot", "rd", "report"}
    known |= {"spectra", "speedup", "sweep"}
    assert set(commands()) == known
    for name in commands():
        assert f"\n  {name}" in shown
    assert "BD-rate of curves against an anchor" in shown


@pytest.mark.parametrize("name", commands())
def test_a_commands_help_imports_only_that_one(name, tmp_path):
    code, heavy, imported, shown = spied(tmp_path, name, "--help")
    assert (code, heavy, imported) == (0, [], [f"analysis.cli.{name}"])
    assert f"usage: python -m analysis {name}" in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["bdrat", "a"],
            "there is no command bdrat. Did you mean bdrate? Commands: ablation, anchors, bdrate, collect, compare",
        ),
        (["_nosuch"], "there is no command _nosuch."),
        (["ablation", "tabel2"], "there is no such table. Did you mean table2?"),
        (["ablation", "table2", "mini"], "mini: choose with scale=... or study=..."),
        (["sweep", "grid"], "runs has no sweep grid; it has other-1"),
        (["sweep", "--runs", "."], "there are no sweeps in ."),
        (["compare", "zz"], "there is no run zz in runs"),
        (["speedup", "--baseline", "zz", "--test", "zz"], "there is no run zz in runs"),
        (["speedup", "--baseline", "a", "--test", "b", "--budgets", "--target", "1"], "takes no --target"),
        (["complexity", "zz"], "nor is zz one of the published"),
        (["rd", "kodak/lallic"], "did you mean kodak/lalic"),
        (["rd", "kodak/lalic", "--out", "x.json", "--metric", "lpips"], "--metric: no metric 'lpips'"),
        (["bdrate", "kodak/vtm_18.0", "kodak/lallic"], "did you mean kodak/lalic"),
    ],
)
def test_refusals_load_nothing_heavy(arguments, said, tmp_path):
    (tmp_path / "runs" / ".sweeps" / "other-1").mkdir(parents=True)
    (tmp_path / "runs" / ".sweeps" / "other-1" / "manifest.json").write_text(json.dumps({"cells": []}))
    code, heavy, _, shown = spied(tmp_path, *arguments)
    assert (code, heavy) == (2, [])
    assert said in shown


def test_without_a_command_the_usage_is_shown(capsys):
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert "COMMAND" in capsys.readouterr().err
