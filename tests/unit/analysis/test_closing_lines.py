"""What a sweep says at its end: commands that can be copied as they stand, and find what they name."""

import json
import shlex

import pytest
from made_sweeps import LMBDAS, write_sweep
from run_folders import curve

from analysis.__main__ import main as analysis
from lic_exp.__main__ import main as lic_exp
from lic_exp.sweeps.control import commands_for, tell_end
from lic_exp.sweeps.folder import SWEEPS, SweepFolder
from lic_exp.sweeps.states import states
from lic_exp.tracking.run_folder import RunFolder, encode_metrics

NAME = "grid-1a2b3c4d"


def closing(runs, **manifest):
    """{title: command} of the sweep in `runs`, whose manifest has this beside."""
    file = runs / SWEEPS / NAME / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | manifest))
    sweep = SweepFolder(file.parent)
    lines = commands_for(sweep, states(sweep).values())
    return {title: command.strip() for title, _, command in (line.partition(":") for line in lines)}


@pytest.mark.parametrize("folder", ["runs", "somebody's runs; $x & y"])
def test_every_command_finds_the_sweep(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in write_sweep(tmp_path / folder, NAME, lmbdas=LMBDAS):
        metrics = "".join(map(encode_metrics, curve([9.0, 1.0])))
        RunFolder(tmp_path / folder / name).metrics_file.write_text(metrics)
    commands = closing(tmp_path / folder)
    assert list(commands) == ["cells", "table", "curves", "report"]
    for command in commands.values():
        python, flag, program, *given = shlex.split(command)
        assert (python, flag) == ("python", "-m")
        assert {"analysis": analysis, "lic_exp": lic_exp}[program](given) == 0
    assert (tmp_path / f"{NAME}.png").is_file()
    assert f"sweep {NAME} in {tmp_path / folder}" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("manifest", "titles"),
    [
        ({"experiment": "table2", "table": {"title": "t"}, "scale": "mini"}, ["cells", "table", "curves", "report"]),
        ({"experiment": "table2", "table": {"title": "t"}, "scale": None}, ["cells", "table", "curves", "report"]),
        ({"cells": [{"signature": "abcd", "label": "none", "role": {}, "evaluation": "1"}]}, ["cells"]),
    ],
)
def test_only_what_there_is_to_see(manifest, titles, tmp_path):
    names = write_sweep(tmp_path, NAME, lmbdas=LMBDAS[:1])
    commands = closing(tmp_path, **manifest)
    assert list(commands) == titles
    if "table" in manifest:
        assert commands["table"] == f"python -m analysis ablation {NAME} --runs {tmp_path}"
    unjudged = [{"signature": name, "label": name, "role": {}, "evaluation": None} for name in names]
    assert list(closing(tmp_path, table=None, cells=unjudged)) == ["cells", "table", "report"]


@pytest.mark.parametrize(("more", "said"), [({}, True), ({"trials": []}, False)])
def test_a_search_names_them_at_its_end_alone(more, said, tmp_path, capsys):
    write_sweep(tmp_path, NAME, lmbdas=LMBDAS[:1])
    closing(tmp_path, **more)
    tell_end(SweepFolder(tmp_path / SWEEPS / NAME))
    assert ("python -m analysis sweep" in capsys.readouterr().err) is said
