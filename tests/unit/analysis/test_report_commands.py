"""The commands of a report can be copied as they stand: they say all that its own command said."""

import json
import shlex
from pathlib import Path

import pytest
from made_sweeps import LMBDAS, write_sweep
from recorded_study import write_study

from analysis.__main__ import main as analysis
from analysis.report.origin import MOST_LAUNCHES, commands
from analysis.report.subject import Subject, subject
from lic_exp.ablation_spec import FOLDER

SWEEP = "grid-1a2b3c4d"


def lines_of(of: Subject, runs: Path) -> list[str]:
    return list(commands(of, "own", f" --runs {shlex.quote(str(runs))}").commands)


@pytest.mark.parametrize("folder", ["runs", "other runs"])
@pytest.mark.parametrize("trusted", [(), ("optimizer.lr", "data.val")])
def test_of_a_sweep_they_all_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, trusted: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    runs = tmp_path / folder
    write_sweep(runs, SWEEP, lmbdas=LMBDAS)
    curve = tmp_path / "my curve.json"
    curve.write_text(json.dumps({"name": "x", "results": {"bpp": [0.1, 0.5, 1.0], "psnr": [28.0, 33.0, 36.0]}}))
    of = subject(SWEEP, runs=runs, given=[str(curve), "kodak/vtm_18.0", "0"], trusted=trusted)
    lines = lines_of(of, runs)
    (rd,) = (line for line in lines if " rd " in line)
    words = shlex.split(rd)
    assert {str(curve), "kodak/vtm_18.0", "0"} <= set(words)
    assert all(set(trusted) <= set(shlex.split(line)) for line in lines if " rd " in line or " loss " in line)
    assert analysis(words[3:]) == 0
    shows = [shlex.split(line) for line in lines if " show " in line]
    assert len(shows) == len(of.rows)
    assert all(words[4] in of.rows and words[5:] == ["--runs", str(runs)] for words in shows)


@pytest.mark.parametrize("scale", ["mini", "gpu"])
def test_of_a_table_they_name_the_study(tmp_path: Path, scale: str) -> None:
    study = write_study(tmp_path)
    newer = study | {"study": "ff00ff00ff00ff00", "scale": "gpu", "made": "2026-11-26T12:00:00+00:00"}
    newer["cells"] = [cell | {"evaluation": "bbbb"} for cell in study["cells"]]
    (tmp_path / FOLDER / "table2-ff00ff00.json").write_text(json.dumps(newer))
    digits = {"mini": study["study"][:8], "gpu": "ff00ff00"}[scale]
    of = subject("table2", runs=tmp_path, choices={"scale": scale})
    part = commands(of, "own", "")
    assert f"python -m analysis ablation table2 scale={scale} study={digits}" in part.commands
    assert any(" plot loss table2" in line for line in part.commands) is (scale == "gpu")
    assert any("launched last" in line for line in part.lines) is (scale == "mini")


@pytest.mark.parametrize("more", [0, 3])
def test_launches_that_are_left_out_are_counted(tmp_path: Path, more: int) -> None:
    effect = {f"r{number}": 0.0 for number in range(MOST_LAUNCHES + more)}
    write_sweep(tmp_path, SWEEP, effect=effect, lmbdas=LMBDAS[:1])
    part = commands(subject(SWEEP, runs=tmp_path), "own", "")
    said = f"the launches of {more} more runs are not listed; `python -m lic_exp show` has each"
    assert list(part.lines) == ([said] if more else [])
