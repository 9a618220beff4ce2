"""What is written of a profile: the numbers add up, nothing is made up, and people's names harm nobody."""

import csv
import io
import json
from collections import Counter

import pytest
from PIL import Image

from lic_exp.console import console_for
from lic_exp.runs.profile_report import lines_of, record_of, table_of, text_of, write_report
from lic_exp.sections import BACKWARD, DATA, FORWARD, LOG, OTHER, PARTS, REPLAY, VALIDATION
from lic_exp.training.launches import Launches
from lic_exp.training.profiling import Profile
from lic_exp.training.step_times import StepTimes

ABOUT = {
    "run": "0123456789abcdef",
    "name": "a | $b_2$ \x1b[31m=1",
    "device_name": "a device",
    "torch": "2.0.0",
    "threads": 3,
    "precision": "float32",
    "compile": False,
    "memory_format": "contiguous",
}


def profile(seconds, device=None, **more):
    times = StepTimes()
    times.host.update(seconds)
    times.device.update(device or {})
    times.begun.update({part: 10 for part in seconds if part != OTHER} | {VALIDATION: 2})
    return Profile(5, times, **{"steps": 10, "images": 40, "flops": 3e9} | more)


ON_CPU = profile(
    {DATA: 1.0, FORWARD: 2.0, BACKWARD: 4.0, LOG: 0.5, OTHER: 0.5, VALIDATION: 30.0},
    peak_flops=1.5e9,
    launches=Launches(Counter({FORWARD: 7, BACKWARD: 20})),
    memory=(1_500_000_000, "resident"),
)
ON_GPU = profile(
    {DATA: 1.0, REPLAY: 0.5, OTHER: 0.5, VALIDATION: 30.0},
    {DATA: 0.5, REPLAY: 3.25, OTHER: 0.25, VALIDATION: 31.0},
    flops=80e12,
    peak_flops=100e12,
    launches=Launches(Counter({REPLAY: 1, DATA: 2}), 1500, 0.325),
    memory=(70_000_000_000, "reserved on the device, at most"),
)
BARE = profile({FORWARD: 2.0, OTHER: 0.0}, flops=None, missing={"peak": "it \x1b failed", "launches": "none"})


@pytest.mark.parametrize(("found", "step_ms"), [(ON_CPU, 800), (ON_GPU, 400), (BARE, 200)])
def test_shares_add_up_and_a_validation_is_apart(found, step_ms):
    record = record_of(found, ABOUT)
    assert record["step_ms"] == pytest.approx(step_ms)
    assert record["images_per_s"] == pytest.approx(4000 / step_ms)
    assert [part["part"] for part in record["parts"]] == list(PARTS)
    assert sum(part["share"] for part in record["parts"]) == pytest.approx(100)
    key = "device_ms" if found is ON_GPU else "host_ms"
    assert sum(part[key] for part in record["parts"]) == pytest.approx(step_ms)
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_arithmetic_is_against_the_peak_and_launches_are_counted():
    record = record_of(ON_GPU, ABOUT)
    assert (record["flops_per_step"], record["flops_per_s"]) == (8e12, pytest.approx(20e12))
    assert record["share_of_peak"] == pytest.approx(20)
    assert (record["launches"], record["device_kernels"], record["device_busy_ms"]) == (3, 1500, 325)
    said = "\n".join(lines_of(record))
    assert "arithmetic: 8 TFLOP a step, 20 TFLOP/s; that is 20 % of the 100 TFLOP/s of matrix products alone" in said
    assert "launches: 3 a step, of 1500 kernels and copies that keep the device busy for 325 ms" in said
    assert "memory: 70.0 GB reserved on the device" in said
    assert "validation: 2 of 31 s together, apart" in said


def test_what_is_not_known_is_blank_and_said():
    record = record_of(BARE, ABOUT)
    for key in ("flops_per_step", "flops_per_s", "share_of_peak", "launches", "device_kernels", "peak_memory"):
        assert record[key] is None
    assert lines_of(record)[-2:] == ["no peak: it \\x1b failed", "no launches: none"]
    assert "arithmetic" not in text_of(record)
    assert "| part | share [%] | host [ms] | begun |\n|---|---:|---:|---:|" in text_of(record)


@pytest.mark.parametrize("found", [ON_CPU, ON_GPU, BARE])
def test_the_files_say_the_same(tmp_path, found):
    record = record_of(found, ABOUT)
    write_report(record, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"profile.{end}" for end in ("csv", "json", "md", "png")
    ]
    assert json.loads((tmp_path / "profile.json").read_text()) == record
    rows = list(csv.DictReader(io.StringIO((tmp_path / "profile.csv").read_text())))
    assert [row["part"] for row in rows] == list(PARTS)
    assert [float(row["share"]) for row in rows] == [part["share"] for part in record["parts"]]
    took = [part["part"] for part in record["parts"] if part["host_ms"] or part["device_ms"]]
    text = (tmp_path / "profile.md").read_text()
    assert [line.split(" | ")[0].strip("| ") for line in text.splitlines() if line.startswith("| ")][1:] == took
    assert "\x1b" not in text
    with Image.open(tmp_path / "profile.png") as picture:
        picture.load()
        assert min(picture.size) > 150


@pytest.mark.parametrize("found", [ON_CPU, ON_GPU, BARE])
def test_a_terminal_shows_what_took_time(found):
    record = record_of(found, ABOUT)
    shown = io.StringIO()
    console_for(shown).print(table_of(record))
    shown = shown.getvalue()
    assert (REPLAY in shown, "device [ms]" in shown) == (found is ON_GPU, found is ON_GPU)
    assert ("launches" in shown) == (found is not BARE)
