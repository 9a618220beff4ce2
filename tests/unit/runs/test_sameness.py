"""Two runs of one training, compared: to the last bit, but for times and speeds."""

import json
import math
from pathlib import Path

import pytest
from made_runs import write_run

from lic_exp.config.errors import ConfigError
from lic_exp.config.loading import load_config
from lic_exp.runs.run import Run
from lic_exp.runs.sameness import compare_runs
from lic_exp.tracking.run_folder import encode_metrics

CONFIG = load_config(["tracker=none"])
ENTRIES = [
    {"step": 1, "epoch": 0, "time": 5.0, "train/loss": 0.1, "train/images_per_s": 7.0},
    {"step": 2, "epoch": 0, "time": 6.0, "train/loss": math.nan, "val/psnr": math.inf},
]
ROWS = "image,bpp,encode_s\na.png,0.5,0.1\nb.png,0.25,0.2\n"
NUMERICS = {"from_step": 0, "device": "cpu", "threads": 1}


def run(folder: Path, entries=ENTRIES, rows: str | None = ROWS, name: str = "0ee991f9", **numerics) -> Run:
    write_run(folder, CONFIG, numerics=[NUMERICS | numerics])
    (folder / "metrics.jsonl").write_text("".join(map(encode_metrics, entries)))
    (folder / "eval").mkdir()
    if rows is not None:
        (folder / "eval/images.csv").write_text(rows)
        (folder / "eval/evaluation.json").write_text(json.dumps({"evaluation": name}))
    return Run(folder)


def test_times_and_speeds_are_not_compared(tmp_path):
    other = [ENTRIES[0] | {"time": 9.0, "train/images_per_s": 1.0}, ENTRIES[1]]
    found = compare_runs(run(tmp_path / "a"), run(tmp_path / "b", other, ROWS.replace("0.1\n", "0.9\n"), threads=2))
    assert not found.differs
    assert found.lines == (
        "metrics: 5 numbers at 2 steps, the same to the last bit",
        "evaluation 0ee991f9: 2 rows, the same",
    )
    assert found.why == ()


def test_of_a_step_that_was_logged_twice_the_last_counts(tmp_path):
    other = [ENTRIES[0] | {"train/loss": 3.0}, *ENTRIES]
    assert not compare_runs(run(tmp_path / "a"), run(tmp_path / "b", other)).differs


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (
            {"train/loss": 0.1 + 2**-56},
            "1 of 5 numbers differ, first train/loss after step 1 is 0.10000000000000002, not",
        ),
        (
            {"train/loss": 0.1, "train/lr": 1.0},
            "1 of 5 numbers differ, first train/lr after step 1 is 1.0, not missing",
        ),
    ],
)
def test_the_last_bit_counts(tmp_path, entry, said):
    other = [ENTRIES[0] | entry, ENTRIES[1]]
    found = compare_runs(run(tmp_path / "a"), run(tmp_path / "b", other, threads=2))
    assert found.differs
    assert said in found.lines[0]
    assert "they were not computed alike: threads 2, not 1" in found.why


def test_a_run_that_stopped_early_is_not_the_same(tmp_path):
    found = compare_runs(run(tmp_path / "a"), run(tmp_path / "b", ENTRIES[:1]))
    assert found.differs
    assert "val/psnr after step 2 is missing, not inf" in found.lines[0]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (ROWS.replace("0.25", "0.26"), "1 of 2 rows differ, first bpp of b.png is 0.26, not 0.25"),
        (ROWS.partition("b.png")[0], "it has 1 rows, not 2"),
        (ROWS.replace("bpp", "psnr"), "its columns are image, psnr, not image, bpp"),
    ],
)
def test_rows_are_compared_exactly(tmp_path, rows, said):
    found = compare_runs(run(tmp_path / "a"), run(tmp_path / "b", rows=rows))
    assert found.differs
    assert found.lines[1] == f"evaluation 0ee991f9: {said}"


@pytest.mark.parametrize("other", [{"rows": None}, {"name": "11111111"}])
def test_what_was_not_evaluated_so_is_not_the_same(tmp_path, other):
    found = compare_runs(run(tmp_path / "a"), run(tmp_path / "b", **other))
    assert found.differs
    assert "has none of this name; it is not compared" in found.lines[1]


def test_a_further_evaluation_of_the_first_need_not_be_there(tmp_path):
    one = run(tmp_path / "a")
    (one.folder / "eval/kodak-1a2b3c4d").mkdir()
    (one.folder / "eval/kodak-1a2b3c4d/images.csv").write_text(ROWS)
    found = compare_runs(one, run(tmp_path / "b"))
    assert not found.differs
    assert found.lines[2].startswith("evaluation kodak-1a2b3c4d: run ")


def test_what_cannot_be_read_is_refused_by_name(tmp_path):
    one, other = run(tmp_path / "a"), run(tmp_path / "b")
    other.files.metrics_file.write_text("{]\n")
    with pytest.raises(ConfigError, match=r"b/metrics\.jsonl"):
        compare_runs(one, other)


def test_nothing_logged_is_not_the_same(tmp_path):
    found = compare_runs(run(tmp_path / "a", []), run(tmp_path / "b", []))
    assert found.differs
    assert "logged nothing that could be compared" in found.lines[0]
