"""A study's results, collected: the same tables and report, the same bytes, without torch, and nothing of a machine."""

import json
import re
import socket

import pytest
from recorded_study import write_study
from run_folders import curve, write_run
from without_torch import blocked

from analysis.__main__ import main
from analysis.collected_files import without_places
from analysis.runs import load_runs
from lic_exp.records import RecordError
from lic_exp.tracking.packed_metrics import packed, unpacked
from lic_exp.tracking.results_folder import check_results
from lic_exp.tracking.run_folder import RunFolder

OUT = "results/table2"
ALONE = "0123456789abcdef"


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_study(tmp_path / "runs", without=[("intra", 1)], diverged=[("intra", 2)])
    return tmp_path


def tree(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def collected(*names, runs="runs"):
    assert main(["collect", *(names or ["table2"]), "-o", OUT, "--runs", runs]) == 0


def refused(*words):
    assert main([*words]) == 2


def test_the_table_is_the_same_to_the_last_byte(study):
    assert main(["ablation", "table2", "--out", "of_runs"]) == 0
    collected()
    assert main(["ablation", "table2", "--from", OUT]) == 0
    of_runs = tree(study / "of_runs")
    assert tree(study / OUT / "tables") == of_runs
    assert sorted(of_runs) == [f"table2-mini.{ending}" for ending in ("csv", "html", "md", "tex")]


def test_table_and_report_are_made_again_without_torch(study):
    """Where the runs are no more, in a process of its own, of a copy whose files were written now."""
    collected()
    main(["ablation", "table2", "--from", OUT])
    main(["report", "table2", "--from", OUT])
    before = tree(study / OUT)
    (study / "runs").rename(study / "gone")
    for name, content in before.items():
        (study / OUT / name).unlink()
        if not name.startswith(("tables/", "reports/")):
            (study / OUT / name).write_bytes(content)
    lines = [["ablation", "table2", "--from", OUT], ["report", "table2", "--from", OUT]]
    done = blocked(f"from analysis.__main__ import main\nassert [main(line) for line in {lines!r}] == [0, 0]", study)
    assert done.returncode == 0, done.stderr
    assert tree(study / OUT) == before
    assert {"tables/table2-mini.md", "reports/table2.html"} <= before.keys()


def test_the_report_is_that_of_the_runs_but_for_places_and_the_host(study):
    main(["report", "table2"])
    collected()
    main(["report", "table2", "--from", OUT])
    of_runs = (study / "reports/table2.html").read_text()
    of_results = (study / OUT / "reports/table2.html").read_text()
    of_runs = re.sub(r"<tr><td>host</td>.*</tr>\n", "", of_runs).replace(
        '<td data-title="folder">runs/', '<td data-title="folder">results/table2/'
    )
    assert of_results.replace(f" --from {OUT}", "") == of_runs


def test_all_that_is_read_of_runs_is_the_same(study):
    collected()
    of_runs, of_results = load_runs("runs"), load_runs(OUT)
    assert of_results.metrics.equals(of_runs.metrics)
    assert of_results.evaluation.equals(of_runs.evaluation)
    apart = ["folder", "host", "paths.runs"]
    assert of_results.runs.drop(columns=apart).equals(of_runs.runs.drop(columns=apart))
    assert list(RunFolder(next((study / OUT).glob("0*"))).metrics())
    assert not (study / OUT / ".analysis").exists()


def test_collected_again_it_is_the_same_and_more_comes_beside(study):
    collected()
    before = tree(study / OUT)
    collected()
    assert tree(study / OUT) == before
    write_run(study / "more" / ALONE, curve([3.0, 2.0]))
    collected(ALONE, runs="more")
    after = tree(study / OUT)
    assert {name for name in after if name not in before} == {
        f"{ALONE}/{name}" for name in ("config.yaml", "environment.json", "metrics.jsonl.gz", "status.json")
    }
    check_results(study / OUT)
    (study / f"more/{ALONE}/metrics.jsonl").unlink()
    collected(ALONE, runs="more")
    assert not (study / OUT / ALONE / "metrics.jsonl.gz").exists()
    check_results(study / OUT)


def test_nothing_names_a_machine(study):
    """Neither host nor absolute path is anywhere; of data and of texts the last part of a path stays."""
    folder = write_run(
        study / "runs" / ALONE,
        curve([3.0]),
        state="failed",
        data__train=["/home/somebody/photos/kodak"],
        tracker={"mlflow": {"_target_": "x", "uri": "sqlite:////home/somebody/mlflow.db"}},
        paths__runs="/home/somebody/runs",
    )
    host = socket.gethostname()
    RunFolder(folder).update_status(state="failed", reason=f"OSError: /home/somebody/photos/a.png on {host}, by 3 / 4")
    environment = {
        "command": ["/home/somebody/python", "launch.py"],
        "overrides": ["data.train=[/home/somebody/photos/kodak]", "tracker.mlflow.uri=http://machine:5000", "seed=0"],
    }
    (folder / "environment.json").write_text(json.dumps(environment))
    collected(ALONE)
    files = {name: content for name, content in tree(study / OUT / ALONE).items() if not name.endswith(".gz")}
    for name, content in files.items():
        assert b"somebody" not in content, name
        assert b"machine" not in content, name
        assert not re.search(rf"\b{re.escape(host)}\b", content.decode()), name
    assert b"train:\n  - kodak\n" in files["config.yaml"]
    assert json.loads(files["status.json"])["reason"] == "OSError: a.png on ..., by 3 / 4"
    assert json.loads(files["environment.json"]) == {"overrides": ["data.train=[kodak]", "seed=0"]}


def test_two_folders_of_one_name_are_refused(study, capsys):
    write_run(study / "runs" / ALONE, data__train=["/a/kodak"], data__val=["/b/kodak"])
    refused("collect", ALONE, "-o", OUT)
    assert "/b/kodak and /a/kodak would both be called kodak in the results" in capsys.readouterr().err
    assert not (study / OUT).exists()


def test_a_run_at_work_is_waited_for(study, capsys):
    write_run(study / "runs" / ALONE, state="running")
    refused("collect", ALONE, "-o", OUT)
    assert f"run runs/{ALONE} is at work: wait for it" in capsys.readouterr().err


def test_what_is_done_in_the_results_stays(study, capsys):
    write_run(study / "runs" / ALONE, curve([3.0]))
    collected(ALONE)
    before = tree(study / OUT)
    RunFolder(study / "runs" / ALONE).update_status(state="failed")
    collected(ALONE)
    assert tree(study / OUT) == before
    assert f"run {ALONE} is done in {OUT} and failed in runs: that in {OUT} stays" in capsys.readouterr().err


def test_what_a_run_extends_comes_along(study):
    write_run(study / "runs" / "aa00", curve([3.0]))
    write_run(study / "runs" / "bb00", curve([3.0]), parent="aa00")
    collected("bb00")
    assert (study / OUT / "aa00" / "config.yaml").is_file()


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (
            lambda folder: (folder / "config.yaml").unlink(),
            "config.yaml cannot be read: it is gone; results.json names",
        ),
        (lambda folder: (folder / "status.json").write_text("{}"), "status.json cannot be read: it is not the file"),
        (lambda folder: (folder.parent / "results.json").unlink(), f"{OUT} cannot be read: there is no results.json"),
        (lambda folder: (folder.parent / "results.json").write_text("[]"), "results.json cannot be read: Input should"),
        (
            lambda folder: write_run(folder.parent / "cc00"),
            "cc00/config.yaml cannot be read: results.json names no such",
        ),
        (
            lambda folder: (folder.parent / "results.json").write_text(
                json.dumps({"schema_version": 2, "left_out": [], "files": {"../a": "0" * 64}})
            ),
            "files: ../a is not in the folder",
        ),
    ],
)
def test_damaged_and_foreign_folders_are_refused_by_name(study, harm, said, capsys):
    collected()
    harm(next(path for path in sorted((study / OUT).iterdir()) if path.name.startswith("0")))
    for command in ("ablation", "report"):
        refused(command, "table2", "--from", OUT)
        assert f"--from: {OUT}" in (text := capsys.readouterr().err)
        assert said in text


def test_something_else_is_not_overwritten(study, capsys):
    refused("collect", "table2", "-o", "runs")
    assert "--out=runs: something else is there, no results folder" in capsys.readouterr().err


def test_packing():
    data = b'{"step": 1}\n' * 1000
    small = packed(data)
    assert (small, unpacked("x", small)) == (packed(data), data)
    for wrong in (b"", small[:-1], small + b"x", b"plain"):
        with pytest.raises(RecordError, match=r"^x cannot be read: it is no (whole )?gzip file"):
            unpacked("x", wrong)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a/b and 3 / 4, and/or", "a/b and 3 / 4, and/or"),
        ("FileNotFoundError: '/home/me/kodak/a b.png'", "FileNotFoundError: 'a b.png'"),
        ("data.val=[/data/one/two,/data/three]", "data.val=[two,three]"),
        ("/data/one/", "..."),
        ("sqlite:////home/me/x.db at http://host:5000/a", "... at ..."),
    ],
)
def test_places_in_a_text(text, left):
    assert without_places(text) == left
