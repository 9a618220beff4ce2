"""Whether runs were evaluated on images that had chosen their weights before, and which of them still compare."""

import pytest
from run_folders import curve, write_run

from analysis.comparable import NotComparableError, check_comparable, check_one_arm
from analysis.image_sets import image_notes
from analysis.runs import load_runs

HEADER = "image,height,width,bpp,psnr,exact"
TWO, THREE = "lic_exp.data.sources.Bundled", "lic_exp.data.sources.BundledThreeWay"


def table(validates):
    """images.csv; None: of an evaluation that did not record it."""
    images = dict(zip("abcdefgh", validates, strict=False))
    rows = [f"{name},64,64,0.5,30.0,True" + ("" if value is None else f",{value}") for name, value in images.items()]
    return "\n".join([HEADER + ("" if None in validates else ",validates"), *rows, ""])


def made(place, data, validates, name="run", **changes):
    write_run(place / name, curve([4.0, 3.0]), images=table(validates), data___target_=data, **changes)
    return load_runs(place / name)


@pytest.mark.parametrize(
    ("validates", "said"),
    [
        ([True, True], ["2 of the 2 images that are evaluated validate too: each run's best weights were chosen on"]),
        ([True, False, False], ["1 of the 3 images that are evaluated validate too"]),
        ([False, False], []),
        ([None, None], ["of 1 runs it was not recorded whether images that are evaluated validate too"]),
    ],
)
def test_images_that_are_shared_are_said(tmp_path, validates, said):
    notes = list(image_notes(made(tmp_path, TWO, validates)))
    assert len(notes) == len(said)
    assert all(note.startswith(text) for note, text in zip(notes, said, strict=True))


def test_runs_of_both_kinds_are_counted_apart(tmp_path):
    made(tmp_path, TWO, [True, True], "one")
    made(tmp_path, TWO, [None], "two")
    shared, unknown = image_notes(load_runs(tmp_path))
    assert shared.startswith("2 of the 2 images")
    assert unknown.startswith("of 1 runs")


def test_runs_that_were_not_evaluated_say_nothing(tmp_path):
    write_run(tmp_path / "run", curve([4.0, 3.0]))
    assert list(image_notes(load_runs(tmp_path / "run"))) == []


@pytest.mark.parametrize("others", [[True, True], [None, None]])
def test_a_third_set_makes_no_other_validation(tmp_path, others):
    """The same photos validate, though the one run was evaluated on them and the other on eight more."""
    two, three = made(tmp_path, TWO, others, "two"), made(tmp_path, THREE, [False] * 8, "three")
    check_comparable(two, three)
    check_one_arm("test", load_runs(tmp_path), ["two", "three"])


@pytest.mark.parametrize("target", ["lic_exp.data.sources.Synthetic", "not_here.Images"])
def test_other_data_still_is_another_validation(tmp_path, target):
    two, other = made(tmp_path, THREE, [False], "two"), made(tmp_path, target, [False], "other")
    with pytest.raises(NotComparableError, match="different validation sets"):
        check_comparable(two, other)


def test_validation_sets_that_were_evaluated_are_still_compared(tmp_path):
    few, many = made(tmp_path, THREE, [True], "few"), made(tmp_path, THREE, [True, True], "many")
    with pytest.raises(NotComparableError, match=r"of (1 and 2|2 and 1) images"):
        check_comparable(few, many)
