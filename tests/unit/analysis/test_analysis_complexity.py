"""Complexities of runs and published ones: what stands in the tables, and what a speed-up in MACs makes of them."""

import csv
import json
import math
import re

import pytest
from run_folders import curve, write_run
from without_torch import blocked

from analysis.__main__ import main
from analysis.complexity import FILE, find_costs, published_costs, run_costs, sources
from analysis.errors import AnalysisError
from analysis.runs import load_runs
from analysis.speedup import speed_up
from lic_exp.tracking.run_folder import RunFolder

RECORDED = {"parameters": 2_000_000, "macs_per_pixel": 1500.0, "encode_macs_per_pixel": 1000.0}
VALUES = [4.0, 3.0, 2.0, 1.5, 1.2, 1.1, 1.0, 1.0, 1.0]


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Makes a run in ./runs that recorded its complexity, or none."""
    monkeypatch.chdir(tmp_path)

    def made(name, complexity=RECORDED, values=VALUES, **changes):
        folder = write_run(tmp_path / "runs" / name, curve(values), **changes)
        if complexity:
            whole = {"decode_macs_per_pixel": None, "height": 256, "width": 256, "parts": []} | complexity
            RunFolder(folder).complexity.write_text(json.dumps(whole))
        return folder

    return made


def test_every_published_complexity_is_whole_and_says_where_it_is_from():
    entries = published_costs()
    assert {entry.source for entry in entries} == set(sources())
    for entry in entries:
        assert entry.kind in ("quoted", "counted")
        assert entry.parameters or entry.kmacs_per_pixel
        assert entry.parameters is None or 1e6 < entry.parameters < 2e9, "in parameters, not millions"
        assert entry.kmacs_per_pixel is None or 100 < entry.kmacs_per_pixel < 5000
    for name, source in json.loads(FILE.read_text())["sources"].items():
        assert source["what"], name
        assert source.get("commit") is None or re.fullmatch("[0-9a-f]{7,40}", source["commit"])


def test_where_sources_disagree_both_stand_and_say_so():
    for name, fields in {"dhic": (222_649_088, 1085.47), "qarv": (93_433_400, 380.06)}.items():
        quoted, *_, counted = published_costs(name)
        assert (counted.parameters, counted.kmacs_per_pixel) == fields
        assert (quoted.kind, counted.kind) == ("quoted", "counted")
        assert f"{counted.kmacs_per_pixel}" in quoted.note
        assert f"{quoted.kmacs_per_pixel}" in counted.note


def test_runs_have_the_columns_and_nan_where_nothing_was_recorded(make):
    make("aa00")
    make("ab00", None)
    rows = load_runs("runs").runs
    assert rows["parameters"][0] == 2_000_000
    assert rows["macs_per_pixel"][0] == 1500.0
    assert math.isnan(rows["decode_macs_per_pixel"][0])
    assert rows.loc[1, ["parameters", "macs_per_pixel"]].isna().all()
    assert load_runs("runs").runs["parameters"][0] == 2_000_000, "also from the cache"
    make("ab00", RECORDED | {"parameters": 5})
    assert list(load_runs("runs").runs["parameters"]) == [2_000_000, 5], "a new file is noticed"


def test_a_damaged_record_says_so(make):
    (make("aa00") / "complexity.json").write_text("{")
    make("ab00", {"parameters": 3})
    reasons = list(load_runs("runs").runs["reason"])
    assert "complexity.json cannot be read" in reasons[0]
    assert "macs_per_pixel" in reasons[1]


def test_runs_of_one_model_are_one_row(make):
    for seed in range(3):
        make(f"aa0{seed}", seed=seed)
    make("ab00", model__N=64)
    make("ac00", None)
    found = run_costs(load_runs("runs"))
    assert [(cost.codec, cost.source) for cost in found] == [
        ("MeanScaleHyperprior(M=48, N=32)", "run aa00 and 2 more"),
        ("MeanScaleHyperprior(M=48, N=64)", "run ab00"),
        ("MeanScaleHyperprior(M=48, N=32)", "run ac00"),
    ]
    first, _, last = found
    assert (first.parameters, first.kmacs_per_pixel, first.encode_kmacs_per_pixel) == (2_000_000, 1.5, 1.0)
    assert first.decode_kmacs_per_pixel is None
    assert (last.parameters, last.kmacs_per_pixel) == (None, None)
    assert last.note.startswith("recorded none")


def test_what_a_name_means(make):
    assert find_costs([]) == published_costs(), "no folder of runs is needed for them"
    folder = make("aa00")
    assert len(find_costs([])) == 1 + len(published_costs())
    for name in (str(folder), "aa", "runs"):
        assert [cost.source for cost in find_costs([name])] == ["run aa00"]
    assert [cost.codec for cost in find_costs(["elic", "aa00", "hpcm-b"])][0:3:2] == ["ELIC", "HPCM-Base"]
    with pytest.raises(AnalysisError, match=r"no run zz in runs.*it has aa00; nor is zz one of the published: ELIC"):
        find_costs(["zz"])
    with pytest.raises(AnalysisError, match="there is no folder elsewhere"):
        find_costs([], "elsewhere")


def test_macs_of_a_speed_up_are_those_recorded(make):
    """Twice as many steps of a model that costs a quarter per pixel, on crops of twice the sides."""
    slow = [value for value in VALUES for _ in "ab"]
    cheap = RECORDED | {"macs_per_pixel": 375.0}
    found = speed_up(make("aa00"), make("ab00", cheap, slow, model__N=16), k=1)
    row = found.pairs.iloc[0]
    assert row["baseline_macs"] == row["baseline_images"] * 1500 * 64**2
    assert found.ratios["macs"].value == pytest.approx(4 * found.ratios["images"].value)
    large = speed_up(make("aa00"), make("ac00", cheap, model__N=16, data__crop_size=128), k=1)
    assert large.ratios["macs"].value == pytest.approx(1.0)


def test_macs_by_hand_come_first_and_missing_ones_stay_unknown(make):
    base, bare = make("aa00"), make("ab00", None, model__N=16)
    assert str(speed_up(base, bare, k=1).ratios["macs"]) == "unknown"
    assert speed_up(base, bare, k=1, macs_per_image=(1e6, 2e6)).ratios["macs"].value == 0.5


def test_the_command_shows_disagreements_and_what_times_are_worth(make, capsys):
    make("aa00")
    assert main(["complexity", "aa00", "dhic"]) == 0
    out = capsys.readouterr().out
    for text in (
        "MeanScaleHyperprior(M=48, N=32)",
        "222.65",
        "1085.47",
        "106.93",
        "977.73",
        "102.46",
        "not comparable",
    ):
        assert text in out
    assert "https://github.com/NJUVISION/DHVC, 145b8b3" in out
    assert " 356 " in out, "no digit more than the source has"
    assert "lossy-vae" not in out, "sources of what is not shown"
    assert main(["complexity", "zz"]) == 2
    assert "nor is zz one of the published" in capsys.readouterr().err


def test_the_commands_files(make, tmp_path, capsys):
    make("aa00")
    for name in ("c.csv", "c.json", "c.md"):
        assert main(["complexity", "aa00", "qarv", "--out", f"tables/{name}"]) == 0
    rows = json.loads((tmp_path / "tables/c.json").read_text())
    assert [row["codec"] for row in rows] == ["MeanScaleHyperprior(M=48, N=32)", "QARV", "QARV"]
    with open(tmp_path / "tables/c.csv") as file:
        read = list(csv.DictReader(file))
    assert [row["kmacs_per_pixel"] for row in read] == ["1.5", "718.96", "380.06"]
    assert read[0]["decode_kmacs_per_pixel"] == ""
    text = (tmp_path / "tables/c.md").read_text()
    assert "| QARV | counted | 93.43 | 380.06 | 346.12 | 94.23 |  |  | qarv_code |" in text
    assert main(["complexity", "--out", "c.png"]) == 2
    assert "written as .csv, .json, .md" in capsys.readouterr().err


def test_the_command_needs_no_torch(make, tmp_path):
    make("aa00")
    done = blocked("from analysis.__main__ import main; sys.exit(main(['complexity']))", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "MeanScaleHyperprior" in done.stdout
