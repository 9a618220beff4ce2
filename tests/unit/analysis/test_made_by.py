"""Which code made the runs behind a number: stale ones are named, and code is never mixed in silence."""

import json

import pytest
from recorded_study import RATES, write_study
from run_folders import IMAGES, OTHER_CODE, curve, write_run

from analysis.__main__ import main
from analysis.ablation import ablation
from analysis.ablation_text import grid
from analysis.comparable import makers
from analysis.curves import load_curve
from analysis.made_by import MIXED, Maker, flags, is_mixed, made_in, row_notes
from analysis.runs import load_runs
from analysis.studies import load_study
from lic_exp.runs.code_hash import KIND, PLATFORM, code_hash
from lic_exp.tracking.run_folder import RunFolder

NOW = code_hash()
OLD, OLDER = f"{KIND}0000000000000001", f"{KIND}0000000000000002"
EARLIER_FORM = "0123456789abcdef"


def current(name):
    return Maker(name, "current", (NOW,), {PLATFORM: "new"})


def stale(name, *hashes, **parts):
    return Maker(name, "stale", hashes or (OLD,), {PLATFORM: "old"} | parts)


def unknown(name):
    return Maker(name, "unknown", (EARLIER_FORM,))


TOGETHER = {
    "nothing": ([], False),
    "one": ([stale("a")], False),
    "all of now": ([current("a"), current("b")], False),
    "now and stale": ([current("a"), stale("b")], True),
    "now and unknown": ([current("a"), unknown("b")], True),
    "stale and unknown": ([stale("a"), unknown("b")], True),
    "unknown": ([unknown("a"), unknown("b")], False),
    "stale by one code": ([stale("a", OLD), stale("b", OLD)], False),
    "stale by one code, with other components": ([stale("a", OLD, model="x"), stale("b", OLDER, loss="y")], False),
    "stale by two codes": ([stale("a", OLD, model="x"), stale("b", OLDER, model="y")], True),
    "one that went on by other code": ([stale("a", OLD, NOW)], True),
}


@pytest.mark.parametrize("which", TOGETHER)
def test_runs_that_mix_code_are_told_from_those_that_do_not(which):
    runs, mixed = TOGETHER[which]
    assert is_mixed(runs) is mixed
    assert (MIXED in flags(runs)) is mixed
    assert bool(row_notes(runs, [])) is mixed
    named = {name for name in ("a", "b") if any(name in flag.split(": ")[-1].split(", ") for flag in flags(runs))}
    assert named == {run.signature for run in runs if run.state != "current"}


@pytest.mark.parametrize(
    ("own", "others", "said"),
    [
        ([current("a")], [stale("b")], "1 run by the code there is now, against 1 run stale (b)"),
        ([stale("a"), stale("b")], [unknown("c")], "2 runs stale (a, b), against 1 run of unknown code (c)"),
        ([stale("a", model="x")], [stale("b", OLDER, model="y")], "1 run stale (a), against 1 run stale (b)"),
    ],
)
def test_a_row_of_other_code_than_its_partner_says_so(own, others, said):
    assert row_notes(own, others) == [f"it is of other code than what it is compared with: {said}"]
    assert row_notes(own, []) == []


def with_code(runs, changes):
    """Of a study's runs those of these beginnings get other code."""
    for beginning, code in changes.items():
        for folder in runs.glob(f"{beginning}*"):
            run = RunFolder(folder)
            run.status_file.write_text(json.dumps(run.status() | {"code": list(code)}))


TABLES = {
    "none": ({}, None, None),
    "all": ({"0": OTHER_CODE}, "all runs are stale", None),
    "one of a row": ({"0100000000000000": OTHER_CODE}, "1 of 36 runs is stale", "its own runs are of different code"),
    "a row": ({"01": OTHER_CODE}, "12 of 36 runs are stale", "it is of other code than what it is compared with"),
    "its baseline": ({"00": [EARLIER_FORM]}, "24 of 36 runs are of unknown code", "it is of other code than what"),
}


@pytest.mark.parametrize("which", TABLES)
def test_a_table_names_what_is_stale_and_its_rows_what_they_mix(tmp_path, which):
    changes, said, of_the_row = TABLES[which]
    write_study(tmp_path)
    with_code(tmp_path, changes)
    found = ablation(load_study("table2", runs=tmp_path))
    notes = grid(found).notes
    assert any(note.startswith(said or "-") for note in notes) is (said is not None)
    (row,) = (row for row in found.rows if row.name == "intra")
    assert any(note.startswith(of_the_row or "-") for note in row.notes) is (of_the_row is not None)
    assert any("different code" in note or "other code than what" in note for note in row.notes) is bool(of_the_row)
    assert any(note.startswith("so this mixes") for note in notes) is bool(of_the_row)


@pytest.fixture
def arms(tmp_path):
    """Two folders of four evaluated runs each; codes: of which runs which code made them."""

    def make(codes):
        for arm, shift in (("base", 0.0), ("test", 0.5)):
            for number, lmbda in enumerate(RATES):
                name = f"{arm[0]}{number}"
                folder = write_run(
                    tmp_path / arm / name, curve([3.0]), criterion__lmbda=lmbda, code=codes.get(name, [NOW])
                )
                point = {"bpp": [0.1 * 2**number], "psnr": [28.0 + 2 * number + shift]}
                (folder / "eval" / "rd_point.json").write_text(json.dumps({"name": name, "results": point}))
        return [str(tmp_path / "base"), str(tmp_path / "test")]

    return make


CODES = {
    "current": {},
    "stale": {"t1": OTHER_CODE},
    "two stale": {"t0": OTHER_CODE, "t3": OTHER_CODE},
    "of an earlier form": {"b2": [EARLIER_FORM]},
    "went on by other code": {"b2": [OLD, NOW]},
}


@pytest.mark.parametrize("which", CODES)
def test_curves_and_bd_rates_name_runs_that_are_not_current(arms, capsys, tmp_path, which):
    base, test = arms(CODES[which])
    word = "unknown code" if "form" in which else "stale"
    changed = test if {"t0", "t1"} & set(CODES[which]) else base
    for words in (["rd", base, test], ["bdrate", base, test], ["bdrate", "kodak/vtm_18.0", changed]):
        main(words)
        told = capsys.readouterr().out
        assert (word in told) is bool(CODES[which]), words
        assert all(name in told for name in CODES[which])
        assert ("mixes runs of different code" in told) is bool(CODES[which])
    main(["bdrate", base, test, "--out", str(tmp_path / "bd.csv")])
    assert ("other-code" in (tmp_path / "bd.csv").read_text()) is bool(CODES[which])


@pytest.mark.parametrize("which", CODES)
def test_files_of_curves_say_what_was_not_current(arms, capsys, tmp_path, which):
    curves = arms(CODES[which])
    main(["rd", *curves, "--out", str(tmp_path / "curves.csv")])
    assert ("so this mixes runs" in (tmp_path / "curves.csv").read_text()) is bool(CODES[which])
    main(["rd", *curves, "--out", str(tmp_path / "curves")])
    capsys.readouterr()
    main(["rd", *map(str, (tmp_path / "curves").glob("*.json"))])
    cautious = "caution: when this was written, " in capsys.readouterr().out
    assert cautious is bool(CODES[which])


def test_a_run_whose_status_cannot_be_read_is_of_unknown_code(arms):
    base, _ = arms({})
    RunFolder(f"{base}/b1").status_file.write_text("[]")
    assert {maker.signature: maker.state for maker in load_curve(base).made_by}["b1"] == "unknown"


EVALUATED = {
    "by the code that trained it": ([NOW], {"": NOW}, "current", False),
    "by an earlier version, which did not say": ([NOW], {"": "unsaid"}, "current", False),
    "by other code": ([NOW], {"": OLD}, "stale", True),
    "by the code of now, trained by other": ([OLD], {"": NOW}, "stale", True),
    "by nobody knows which": ([NOW], {"": None}, "unknown", True),
    "once more, by other code": ([NOW], {"": NOW, "val-0123": OLD}, "stale", True),
    "beside it, as somebody asked": ([NOW], {"": NOW, "asked": OLD}, "current", False),
}


@pytest.mark.parametrize("how", EVALUATED)
def test_the_code_of_an_evaluation_is_of_its_run(tmp_path, how):
    code, evaluations, state, mixed = EVALUATED[how]
    run = RunFolder(write_run(tmp_path / "runs" / "abcd", code=code, images=IMAGES))
    for name, made_by in evaluations.items():
        folder = run.eval / name
        folder.mkdir(exist_ok=True)
        (folder / "images.csv").write_text(IMAGES)
        record = {"evaluation": None if name == "asked" else "0123", "code": made_by}
        record = {key: value for key, value in record.items() if value not in ("unsaid",)}
        (folder / "evaluation.json").write_text(json.dumps(record))
    read = load_runs(tmp_path / "runs")
    assert read.runs["code"].tolist() == [state]
    assert (MIXED in flags(makers(read))) is mixed
    if len(evaluations) == 1:
        assert made_in(run).state == state
    assert load_runs(tmp_path / "runs").runs["code_hashes"].tolist() == read.runs["code_hashes"].tolist(), "kept"
