"""Runs, sweeps, tables and labels by name, the same for every command."""

import json
from pathlib import Path

import pytest
from made_sweeps import LMBDAS, write_manifest, write_sweep
from recorded_study import write_study
from run_folders import write_run

from analysis import load_curve
from analysis.__main__ import main
from analysis.errors import AnalysisError
from analysis.named_runs import load_named, named, several_named
from analysis.sweep_manifests import find_sweep, table_of


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study") / "runs"
    write_sweep(folder, lmbdas=LMBDAS[:2])
    return folder


ALL = [f"{number:016x}"[::-1] for number in range(4)]


@pytest.mark.parametrize(
    ("name", "kind", "found"),
    [
        ("grid", "sweep", ALL),
        ("grid-1a2b3c4d", "sweep", ALL),
        ("{runs}/.sweeps/grid-1a2b3c4d", "sweep", ALL),
        ("{runs}/.sweeps/grid-1a2b3c4d/", "sweep", ALL),
        ("{runs}", "runs", ALL),
        (ALL[3], "run", [ALL[3]]),
        ("3", "run", [ALL[3]]),
        ("{runs}/" + ALL[2], "run", [ALL[2]]),
        ("spectral_reg=intra", "label", ALL[2:]),
        ("grid:spectral_reg=intra", "label", ALL[2:]),
        ("spectral_reg=none, criterion.lmbda=0.0067", "label", [ALL[1]]),
        ("spectral_reg=none,criterion.lmbda=0.0067", "label", [ALL[1]]),
    ],
)
def test_what_a_name_means(runs: Path, name: str, kind: str, found: list[str]) -> None:
    meant = named(name.format(runs=runs), runs)
    assert meant.kind == kind
    assert sorted(run.signature for run in meant.runs) == sorted(found)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0,1", 2),
        ("grid,3", 2),
        ("spectral_reg=none, criterion.lmbda=0.0067,2", 2),
        ("2,spectral_reg=none,criterion.lmbda=0.0067", 2),
        ("spectral_reg=none,spectral_reg=intra", 2),
        ("spectral_reg=none, criterion.lmbda=0.0067", 1),
    ],
)
def test_several_have_commas_between_them(runs: Path, text: str, count: int) -> None:
    assert len(several_named(text, runs)) == count


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("zz", r"there is no run zz in .*; it has 0{16}, .*; nor a sweep, a table or a label; .* sweeps grid-1a2b3c4d"),
        ("spectral_reg=inter", "there is no run spectral_reg=inter in"),
        ("grid:spectral_reg=inter", "there is no run grid:spectral_reg=inter in"),
        (" ", "the name of a run is empty"),
    ],
)
def test_a_name_that_means_nothing_is_told_with_what_there_is(runs: Path, name: str, message: str) -> None:
    with pytest.raises(AnalysisError, match=message):
        named(name, runs)


def test_a_beginning_of_a_run_and_of_a_sweep(tmp_path: Path) -> None:
    (signature, *_) = write_sweep(tmp_path, "0-grid", lmbdas=LMBDAS[:1])
    with pytest.raises(AnalysisError, match=f"0 could be run {signature} or sweep 0-grid: give more of it"):
        named("0", tmp_path)
    assert named("0-", tmp_path).kind == "sweep"


def test_one_label_in_two_sweeps_of_other_runs(tmp_path: Path) -> None:
    write_sweep(tmp_path, "grid-1", lmbdas=LMBDAS[:2])
    others = write_sweep(tmp_path, "more-2", lmbdas=LMBDAS[:2], first=9)
    label = "spectral_reg=intra"
    with pytest.raises(
        AnalysisError, match=f"{label} is a label in 2 sweeps.*: name grid-1:{label} and more-2:{label}"
    ):
        named(label, tmp_path)
    assert {run.signature for run in named(f"more:{label}", tmp_path).runs} == set(others[2:])


def test_one_label_in_two_sweeps_of_the_same_runs(tmp_path: Path) -> None:
    write_sweep(tmp_path, "grid-1", lmbdas=LMBDAS[:2])
    manifest = json.loads((tmp_path / ".sweeps/grid-1/manifest.json").read_text())
    write_manifest(tmp_path, "again-2", manifest["cells"])
    assert len(named("spectral_reg=intra", tmp_path).runs) == 2


def test_a_table_is_its_study_that_was_launched_last(tmp_path: Path) -> None:
    manifest = write_study(tmp_path)
    found = named("table2", tmp_path)
    assert found.kind == "table"
    assert {run.signature for run in found.runs} == {cell["signature"] for cell in manifest["cells"]}
    assert found.runs[0].label == "naive, seed=0, criterion.lmbda=0.0018"


def test_a_damaged_manifest_is_passed_over(runs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_sweep(tmp_path, lmbdas=LMBDAS[:1])
    write_manifest(tmp_path, "broken-1", [])
    (tmp_path / ".sweeps/broken-1/manifest.json").write_text("{")
    assert len(named("spectral_reg=intra", tmp_path).runs) == 1
    assert "broken-1" in caplog.text


@pytest.mark.parametrize("name", ["grid", "spectral_reg=intra", "{runs}"])
@pytest.mark.parametrize("verb", ["rd", "compare", "complexity"])
def test_every_verb_takes_every_name(runs: Path, verb: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, name.format(runs=runs), "--runs", str(runs)]) == 0
    assert "spectral_reg" in (shown := capsys.readouterr().out) or "MeanScaleHyperprior" in shown


def test_arms_of_a_sweep_are_compared_by_their_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sweep(tmp_path, lmbdas=LMBDAS[:2])
    arguments = ["speedup", "--baseline", "spectral_reg=none", "--test", "spectral_reg=intra", "--runs", str(tmp_path)]
    assert main(arguments) == 2
    assert "never logged val/rd_loss" in capsys.readouterr().err


def test_what_has_not_begun_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    waiting = "spectral_reg=intra, criterion.lmbda=0.0067"
    write_sweep(tmp_path, lmbdas=LMBDAS[:2], without=[waiting])
    assert len(load_named(["grid"], tmp_path)) == 3
    assert f"grid-1a2b3c4d: 1 of 4 runs have not begun: {waiting}" in capsys.readouterr().err
    with pytest.raises(AnalysisError, match=r"no run of label .* has begun"):
        load_named([waiting], tmp_path)


def test_the_beginning_of_a_signature_is_a_curve(runs: Path) -> None:
    assert load_curve("3", runs=runs).name == "spectral_reg=intra, criterion.lmbda=0.0067"


def test_a_table_is_found_by_a_manifest_that_names_an_evaluation(tmp_path: Path) -> None:
    """As launches write it; several sweeps of the table are beside it, whose names begin alike."""
    manifest = write_study(tmp_path)
    (old,) = (tmp_path / ".tables").iterdir()
    old.rename(old.with_name(f"{old.stem}-0ee991f9.json"))
    for digits in ("99aa88bb", "11223344"):
        (tmp_path / f".sweeps/table2-{digits}").mkdir(parents=True)
        (tmp_path / f".sweeps/table2-{digits}/manifest.json").write_text(json.dumps({"cells": []}))
    found = named("table2", tmp_path)
    assert (found.kind, len(found.runs)) == ("table", len(manifest["cells"]))


@pytest.mark.parametrize("name", ["table2-99aa88bb", "table2-99", "{runs}/.sweeps/table2-99aa88bb"])
def test_a_sweep_of_a_table_is_that_table(tmp_path: Path, name: str) -> None:
    write_study(tmp_path)
    folder = tmp_path / ".sweeps/table2-99aa88bb"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({"cells": [], "experiment": "table2", "table": {"title": "t"}}))
    assert table_of(name.format(runs=tmp_path), tmp_path) == "table2"
    assert table_of("table2", tmp_path) == "table2"
    assert table_of("grid", tmp_path) is None
    write_sweep(tmp_path, lmbdas=LMBDAS[:1])
    assert table_of("grid", tmp_path) is None


@pytest.mark.parametrize(("name", "longer"), [("table1", "table10"), ("table2", "table2x"), ("tab", "table2")])
def test_a_table_is_no_other_one_that_begins_so(
    tmp_path: Path, name: str, longer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sweep(tmp_path, f"{longer}-99aa88bb", lmbdas=LMBDAS[:1])
    file = tmp_path / f".sweeps/{longer}-99aa88bb/manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"experiment": longer, "table": {"title": "t"}}))
    assert table_of(name, tmp_path) is None
    assert table_of(f"{longer}-9", tmp_path) == longer
    assert named(f"{longer}-9", tmp_path).kind == "sweep"
    if name == "tab":
        assert named(name, tmp_path).kind == "sweep"
        return
    with pytest.raises(AnalysisError, match=name):
        named(name, tmp_path)
    with pytest.raises(AnalysisError, match=f"has no sweep {name}; it has {longer}-99aa88bb"):
        find_sweep(name, tmp_path)
    assert main(["rd", name, "--runs", str(tmp_path)]) == 2
    assert f"{longer}-99aa88bb" in capsys.readouterr().err
    write_sweep(tmp_path, f"{name}-11223344", lmbdas=LMBDAS[:1])
    assert find_sweep(name, tmp_path).name == f"{name}-11223344"


@pytest.mark.parametrize("other", ["pixels", "number", "none", "unknown"])
def test_compare_says_where_images_differ(tmp_path: Path, other: str, capsys: pytest.CaptureFixture[str]) -> None:
    header, *rows = "image,height,width,pixels,bpp,psnr\na,8,8,11,1,30\nb,8,8,22,1,30\n".splitlines()
    for number in range(2):
        run = write_run(tmp_path / f"{number}0")
        own = [row.replace("22", "23") for row in rows] if other == "pixels" and number else rows
        own = own[: 1 if other == "number" and number else None]
        text = "\n".join([header, *own]) + "\n"
        if other == "unknown" and number:
            text = text.replace(",pixels", "").replace(",11", "").replace(",22", "")
        (run / "eval/images.csv").write_text(text)
    assert main(["compare", "00", "10", "--runs", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    for flag, of in {"other-data-set": "pixels", "fewer-images": "number"}.items():
        said = f"{flag}: its own images: these runs were not evaluated on the same images"
        assert (said in told) == (other == of)


def test_the_names_of_many_runs_are_no_path(tmp_path: Path) -> None:
    signatures = write_sweep(tmp_path, lmbdas=[0.001 * i for i in range(1, 21)])
    assert len(",".join(signatures)) > 512
    assert len(several_named(",".join(signatures), tmp_path)) == 40
    with pytest.raises(AnalysisError, match="unlike, and of 2 curves"):
        load_curve(",".join(signatures), runs=tmp_path)
    assert len(load_curve(",".join(signatures[:20]), runs=tmp_path)) == 20
    with pytest.raises(AnalysisError, match="neither a published curve nor a file or folder"):
        load_curve("x" * 5000, runs=tmp_path)
    with pytest.raises(AnalysisError, match="neither a published curve nor a file or folder"):
        load_curve("x\0y", runs=tmp_path)


def test_the_working_folder_is_a_run_or_holds_some(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(runs / ALL[2])
    assert [run.signature for run in named(".").runs] == [ALL[2]]
    monkeypatch.chdir(runs)
    assert named(".").title == "runs"
    assert len(named(".").runs) == 4
