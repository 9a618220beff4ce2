"""Runs as data: what stands in the tables, what is visible of bad runs, and that a cache changes nothing."""

import json
import math
import shutil
import subprocess
import sys
import time
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import yaml
from checkout import ROOT
from run_folders import IMAGES, OTHER_CODE, curve, write_run

from analysis import run_records, runs
from analysis.__main__ import main
from analysis.errors import AnalysisError
from analysis.metric_points import parse_metrics
from analysis.run_places import find_runs
from analysis.run_records import parse_config
from analysis.runs import load_runs
from lic_exp.runs.run import Run
from lic_exp.tracking.run_folder import RunFolder, encode_metrics

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in pairwise("abcdefghijkl")
)


@pytest.fixture
def study(tmp_path):
    """Five runs: two finished, one diverged, one that is silent, one that failed."""
    folder = tmp_path / "runs"
    write_run(folder / "aa00", curve([3.0, 2.0]), images=IMAGES, name="first", tags=["pilot", "gpu"])
    write_run(folder / "ab00", curve([3.0, math.nan]), seed=1, criterion__lmbda=0.05, spectral_reg___target_="a.B")
    write_run(folder / "ba00", curve([3.0]), state="diverged", code=OTHER_CODE)
    write_run(folder / "bb00", curve([3.0]), state="running", heartbeat=time.time() - 1000)
    write_run(folder / "bc00", state="failed", code=["0123456789abcdef"])
    return folder


def assert_same(ours, theirs):
    for table in ("runs", "metrics", "evaluation"):
        pd.testing.assert_frame_equal(getattr(ours, table), getattr(theirs, table))


def test_a_real_run_is_read_as_the_platform_reads_it(small_run):
    """The platform's own readers are the reference, so that its formats cannot drift away from these."""
    real, read = Run(small_run), load_runs(small_run, cache=False)
    row = read.runs.iloc[0]
    assert (row["signature"], row["state"], row["name"]) == (small_run.name, "done", "small")
    assert row["spectral_reg"] == "IntraScale"
    assert row["spectral_reg.truncation_length"] == real.config.spectral_reg.options["truncation_length"] == 1
    assert row["optimizer.betas"] == tuple(real.config.optimizer.options["betas"])
    assert row["git_commit"] == json.loads((small_run / "environment.json").read_text())["git_commit"]
    expected = {
        (entry["step"], entry["epoch"], entry["time"], name, value)
        for entry in RunFolder(small_run).metrics()
        for name, value in entry.items()
        if name not in ("step", "epoch", "time")
    }
    columns = ["step", "epoch", "time", "metric", "value"]
    assert set(read.metrics[columns].itertuples(index=False, name=None)) == expected
    own = read.evaluation[read.evaluation["set"] == ""]  # other tests evaluate this run on further images
    rows = own.drop(columns=["signature", "set"])
    pd.testing.assert_frame_equal(rows, real.evaluation, check_dtype=False)


def test_every_run_is_visible_with_its_state(study):
    read = load_runs(study)
    states = dict(zip(read.runs["signature"], read.runs["state"], strict=True))
    assert states == {"aa00": "done", "ab00": "done", "ba00": "diverged", "bb00": "silent", "bc00": "failed"}
    assert list(read.runs["code"]) == ["current", "current", "stale", "current", "unknown"]
    assert list(read.runs["stale"]) == [False, False, True, False, False]
    assert list(read.problems["signature"]) == ["ba00", "bb00", "bc00"]
    assert list(read.problems["code"]) == ["stale", "current", "unknown"]


@pytest.mark.parametrize(
    ("code", "state"), [(OTHER_CODE, "stale"), (["0123456789abcdef"], "unknown"), ([], "unknown"), (None, None)]
)
def test_a_run_that_is_done_is_a_problem_unless_its_code_is_that_of_now(tmp_path, code, state):
    write_run(tmp_path / "aa00", curve([2.0]), code=code)
    problems = load_runs(tmp_path, cache=False).problems
    assert list(problems["code"]) == ([state] if state else [])


def test_config_keys_are_columns_that_tell_null_from_absent(study):
    table = load_runs(study).runs.set_index("signature")
    assert table.loc["aa00", "lmbda"] == 0.013
    assert table.loc["ab00", "criterion.lmbda"] == 0.05
    assert table["criterion.lmbda"].dtype == float
    assert table.loc["aa00", "tags"] == ("pilot", "gpu")
    assert list(table["spectral_reg"]) == ["none", "B", "none", "none", "none"]
    assert table.loc["aa00", "data.val_limit"] is None
    write_run(study / "cc00", data__image_seed=3)
    column = load_runs(study).runs.set_index("signature")["data.image_seed"]
    assert column["cc00"] == 3
    assert math.isnan(column["aa00"])


def test_an_unfinished_last_line_is_no_entry(study):
    whole = load_runs(study, cache=False)
    with open(study / "aa00" / "metrics.jsonl", "a") as file:
        file.write('{"step": 30, "epoch": 3, "time": 1e9, "val/rd_l')
    assert_same(load_runs(study, cache=False), whole)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("status.json", "{", "status.json cannot be read"),
        ("status.json", "[]", "status.json cannot be read"),
        ("status.json", '{"heartbeat": "now", "state": "running"}', "heartbeat: Input should be a valid number"),
        ("environment.json", "null", "environment.json cannot be read"),
        ("eval/evaluation.json", '"x"', "eval/evaluation.json cannot be read"),
        ("config.yaml", "tags: 3", "config.yaml cannot be read: tags"),
        ("config.yaml", "criterion: {lmbda: [1]}", "config.yaml cannot be read: criterion.lmbda"),
        ("config.yaml", BOMB, "config.yaml cannot be read: its aliases come to more than"),
        ("config.yaml", "[" * 10_000, "config.yaml cannot be read: it is nested"),
        ("eval/images.csv", "image,bpp\na,low\n", "'low' as bpp"),
        ("eval/images.csv", 'image,bpp\n"a\x00,1\n', "images.csv"),
        ("config.yaml", "seed: [1", "expected"),
        ("eval/images.csv", "image,bpp\na\n", "a row of 1 fields under 2 columns"),
    ],
)
def test_a_damaged_run_says_so_and_hides_no_other(study, file, content, said):
    (study / "aa00" / file).write_text(content)
    read = load_runs(study)
    row = read.runs.iloc[0]
    assert (row["signature"], row["state"]) == ("aa00", "unreadable")
    assert said in row["reason"]
    assert len(read) == 5
    assert set(read.metrics["signature"]) >= {"ab00", "ba00", "bb00"}


def test_nan_and_infinity_are_numbers(tmp_path):
    values = [math.nan, math.inf, -math.inf, 1.0]
    write_run(tmp_path / "aa00", curve(values))
    np.testing.assert_array_equal(load_runs(tmp_path).curve("aa00", "val/rd_loss")["value"], values)


def test_asked_for_metrics_are_those_of_all(study):
    everything, some = load_runs(study), load_runs(study, metrics=["val/rd_loss", "train/lr"])
    expected = everything.metrics[everything.metrics["metric"].isin(["val/rd_loss", "train/lr"])]
    columns = ["signature", "step", "epoch", "time", "metric", "value"]
    as_text = {"metric": str, "signature": str}
    pd.testing.assert_frame_equal(
        some.metrics[columns].astype(as_text).sort_values(columns, ignore_index=True),
        expected[columns].astype(as_text).sort_values(columns, ignore_index=True),
    )
    assert load_runs(study, metrics=["no/such"]).metrics.empty


def test_metrics_parse_as_line_by_line():
    entries = [{"step": i, "epoch": 0, "time": i / 7, **({"a": i / 3} if i % 3 else {}), "b": -i} for i in range(1, 20)]
    points, damaged = parse_metrics("".join(map(encode_metrics, entries)).encode())
    assert damaged == []
    for code, name in enumerate(points.names):
        mine = [(entry["step"], entry["time"], entry[name]) for entry in entries if name in entry]
        at = points.metric == code
        assert list(zip(points.step[at], points.time[at], points.value[at], strict=True)) == mine


@pytest.mark.parametrize(
    "text",
    [
        yaml.safe_dump({"a": {"b": [1, {"c": None}]}, "tags": ["x", "y"], "note": "two\nlines: of text\n", "e": 1e-8}),
        "a: &here [1, 2]\nb: *here\n",
        "---\na: 1\n",
        "a: |\n  text\n  b: 2\nc: 'x\n\n  y'\n",
        "# head\na: 1 # why\n\n\nb:\n- 1\n- d: 2\n",
        '{a: 1, "b": 2}\n',
        "a:\n  b: 1\n'quoted key': 3\n1: one\n",
    ],
)
def test_a_config_read_by_blocks_is_what_yaml_reads(text):
    assert parse_config(text) == yaml.safe_load(text)


def test_evaluations_keep_names_and_rate_labels(study):
    (study / "ab00" / "eval" / "kodak").mkdir()
    (study / "ab00" / "eval" / "kodak" / "images.csv").write_text("image,rate,bpp\nkodim01,0.5,1\nkodim01,1.0,2\n")
    rows = load_runs(study).evaluation
    own = rows[rows["signature"] == "aa00"]
    assert list(own["image"]) == ["0001", "NA"]
    assert list(own["exact"]) == [True, False]
    assert math.isnan(own["ms_ssim"].iloc[0])
    assert own["psnr"].iloc[1] == math.inf
    other = rows[rows["signature"] == "ab00"]
    assert list(other["set"]) == ["kodak", "kodak"]
    assert list(other["rate"]) == [0.5, 1.0]


def test_means_are_over_the_images_of_a_set_and_rate(study):
    (study / "ab00" / "eval" / "kodak").mkdir()
    rows = "image,rate,bpp,ms_ssim\na,0.5,1,0.9\nb,0.5,2,\na,1.0,3,0.8\nb,1.0,5,0.9\n"
    (study / "ab00" / "eval" / "kodak" / "images.csv").write_text(rows)
    read = load_runs(study)
    assert read.means()[["signature", "seed", "lmbda", "images", "bpp"]].values.tolist() == [
        ["aa00", 0, 0.013, 2, 0.375]
    ]
    kodak = read.means("kodak")
    assert list(kodak["rate"]) == [0.5, 1.0]
    assert list(kodak["bpp"]) == [1.5, 4.0]
    assert math.isnan(kodak["ms_ssim"][0])
    assert kodak["ms_ssim"][1] == pytest.approx(0.85)
    assert read.means("tecnick").empty


RATES = "image,height,width,rate,lmbda,bpp,psnr\na,8,8,0.0,0.001,0.2,30\nb,8,8,0.0,0.001,0.4,32\n\
a,8,8,63.0,0.064,1.2,40\nb,8,8,63.0,0.064,1.4,42\n"


def test_means_of_a_variable_rate_run_have_the_rates_own_lmbda(study):
    (study / "ba00" / "eval" / "images.csv").write_text(RATES)
    means = load_runs(study).means()
    one, *several = means[["signature", "lmbda", "rate", "images", "bpp"]].values.tolist()
    assert one[:2] == ["aa00", 0.013]
    assert math.isnan(one[2])
    assert several == [["ba00", 0.001, 0.0, 2, pytest.approx(0.3)], ["ba00", 0.064, 63.0, 2, pytest.approx(1.3)]]
    assert "lmbda_x" not in means


def test_runs_are_compared_rate_by_rate(study, capsys):
    (study / "ba00" / "eval" / "images.csv").write_text(RATES)
    assert main(["compare", str(study / "aa00"), str(study / "ba00")]) == 0
    shown = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown.splitlines() if "own images" in line]
    assert ["its own images: bpp", "0.375", ""] in rows
    assert ["its own images, quality 0: images", "", "2"] in rows
    assert ["its own images, quality 63: bpp", "", "1.3"] in rows


def test_curves_and_last_values(tmp_path):
    entries = [*curve([3.0, 2.0, 1.0]), *curve([3.0, 2.5])[2:]]  # the second evaluation was logged again after a resume
    write_run(tmp_path / "aa00", entries)
    write_run(tmp_path / "ab00")
    read = load_runs(tmp_path)
    assert list(read.curve("aa00", "val/rd_loss")["value"]) == [3.0, 2.5, 1.0]
    assert read.curve("ab00", "val/rd_loss").empty
    final = read.final(["val/rd_loss"])
    assert final.loc["aa00", "val/rd_loss"] == 1.0
    assert math.isnan(final.loc["ab00", "val/rd_loss"])


def test_some_of_the_runs(study):
    read = load_runs(study)
    assert list(read.where(seed=1).runs["signature"]) == ["ab00"]
    assert list(read.where(read.runs["lmbda"] < 0.02, tags=("pilot", "gpu")).runs["signature"]) == ["aa00"]
    assert set(read.where(seed=1).metrics["signature"]) == {"ab00"}
    with pytest.raises(AnalysisError, match="no column 'sead'"):
        read.where(sead=1)


def unreadable(*_):
    raise AssertionError("a run was read again")


def test_unchanged_runs_come_from_the_cache(study, monkeypatch):
    cold = load_runs(study, cache=False)
    assert not (study / ".analysis").exists()
    assert_same(load_runs(study), cold)
    monkeypatch.setattr(runs, "read_record", unreadable)
    assert_same(load_runs(study), cold)


def test_only_changed_runs_are_read_again(study, monkeypatch):
    load_runs(study)
    shutil.rmtree(study / "ba00")
    write_run(study / "aa00", curve([3.0, 2.0, 1.0]))
    write_run(study / "ca00", curve([9.0]))
    seen = []
    monkeypatch.setattr(
        runs, "read_record", lambda folder, *rest: seen.append(folder.name) or run_records.read_record(folder, *rest)
    )
    read = load_runs(study)
    assert seen == ["aa00", "ca00"]
    assert_same(read, load_runs(study, cache=False))


def test_a_moved_folder_keeps_its_cache(study, tmp_path, monkeypatch):
    load_runs(study)
    study.rename(tmp_path / "elsewhere")
    monkeypatch.setattr(runs, "read_record", unreadable)
    assert load_runs(tmp_path / "elsewhere").runs["folder"][0] == str(tmp_path / "elsewhere" / "aa00")


def spoil(data: bytes, how: str) -> bytes:
    middle = len(data) // 2
    cases = {
        "empty": b"",
        "cut": data[:middle],
        "other": b"not a cache",
        "flipped": data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :],
    }
    return cases[how]


@pytest.mark.parametrize("how", ["empty", "cut", "other", "flipped"])
def test_a_damaged_cache_costs_only_time(study, how):
    cold = load_runs(study)
    (file,) = (study / ".analysis").iterdir()
    file.write_bytes(spoil(file.read_bytes(), how))
    assert_same(load_runs(study), cold)


def test_runs_that_may_not_be_written_to_are_cached_elsewhere(study, tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda *_: False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cold = load_runs(study)
    assert not (study / ".analysis").exists()
    monkeypatch.setattr(runs, "read_record", unreadable)
    assert_same(load_runs(study), cold)


def test_places_that_hold_no_runs_are_errors(study, tmp_path):
    with pytest.raises(AnalysisError, match="there is no folder"):
        load_runs(tmp_path / "nowhere")
    with pytest.raises(AnalysisError, match="holds no run folders"):
        load_runs(tmp_path)
    with pytest.raises(AnalysisError, match="no MLflow store"):
        load_runs(str(tmp_path / "mlflow.db"))
    shutil.copytree(study / "aa00", tmp_path / "copy" / "aa00")
    with pytest.raises(AnalysisError, match=r"lies in .* and in .*copy"):
        load_runs([study, tmp_path / "copy"])
    assert len(load_runs([study, study / "aa00"])) == 5


def test_runs_are_found_by_the_beginning_of_their_signature(study):
    assert find_runs(["aa", "bc00", str(study / "ba00")], study) == [study / "aa00", study / "bc00", study / "ba00"]
    with pytest.raises(AnalysisError, match=r"b could be any of ba00, bb00, bc00"):
        find_runs(["b"], study)
    with pytest.raises(AnalysisError, match=r"no run zz in .*it has aa00"):
        find_runs(["zz"], study)


def test_an_mlflow_store_tells_the_same(study):
    """All but what a store does not keep: epochs, and a resumed step's first value."""
    from mlflow.entities import Metric

    from lic_exp.tracking.mlflow_store import STATE_TAG, open_mlflow_run

    folder, uri = RunFolder(study / "aa00"), f"sqlite:///{study}/mlflow.db"
    client, sent = open_mlflow_run(folder, name=None, uri=uri, experiment="test")
    points = [
        Metric(name, value, round(entry["time"] * 1000), entry["step"])
        for entry in folder.metrics()
        for name, value in entry.items()
        if "/" in name
    ]
    client.log_batch(sent.info.run_id, metrics=points)
    client.set_tag(sent.info.run_id, STATE_TAG, "done")
    client.log_artifact(sent.info.run_id, str(folder.eval / "images.csv"), "eval")
    stored, read = load_runs(f"{study}/mlflow.db"), load_runs(folder.root)
    assert list(stored.runs["signature"]) == ["aa00"]
    same = ["state", "lmbda", "seed", "name", "tags", "model", "git_commit", "code", "optimizer.betas", "step"]
    assert stored.runs[same].iloc[0].to_dict() == read.runs[same].iloc[0].to_dict()
    columns = ["metric", "step", "value"]
    assert sorted(stored.metrics[columns].itertuples(index=False)) == sorted(
        read.metrics[columns].itertuples(index=False)
    )
    pd.testing.assert_frame_equal(stored.evaluation, read.evaluation)


BLOCKED = """
import sys
sys.modules["torch"] = None
import analysis
from analysis.__main__ import main
assert not {"pandas", "scipy", "matplotlib", "mlflow"} & set(sys.modules), "import analysis is not light"
names = [getattr(analysis, name) for name in analysis.__all__]
sys.exit(main(["compare", *sys.argv[1:3]]) or main(["speedup", "--baseline", sys.argv[1], "--test", sys.argv[2]]))
"""


def test_runs_and_commands_need_no_torch(tmp_path):
    for name, target in (("aa00", None), ("ab00", "a.Regularizer")):
        write_run(tmp_path / name, curve([4.0, 3.0, 2.0, 1.0]), images=IMAGES, spectral_reg___target_=target)
    command = [sys.executable, "-c", BLOCKED, str(tmp_path / "aa00"), str(tmp_path / "ab00")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "a.Regularizer" in done.stdout
    assert "1.00x" in done.stdout


def test_a_configs_aliases_are_bounded_in_all_blocks_together():
    """Each is within bounds, and all of them would take an hour."""
    ten = "*{0}, " * 10
    bomb = f"k{{}}: [&a [{'1, ' * 10}], &b [{ten.format('a')}], &c [{ten.format('b')}], &d [{ten.format('c')}], [*d]]\n"
    with pytest.raises(ValueError, match=r"more than \d+ values|duplicate anchor"):
        parse_config("".join(bomb.format(number) for number in range(2000)))
