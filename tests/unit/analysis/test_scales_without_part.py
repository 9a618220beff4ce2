"""What is said of diagnoses with a scale that contributes nothing, and what of images without any detail."""

import numpy as np
import pytest
import torch
from scale_toys import Banded, Copying, ScaleToy, photos

from analysis.diagnoses import DiagnosedRun, Instant, unlike
from analysis.spectral_files import scale_records
from analysis.spectral_text import answers, scale_rows
from lic_exp.evaluation.diagnosis import diagnose

IMAGES = photos(3, 32, 32)

LAST_EMPTY = Banded((0, 0.1, 1, 1))
"""Three scales, the third of which has no frequency left."""


def course(label: str, codec: ScaleToy, steps: tuple[int, ...] = (), images: list | None = None) -> DiagnosedRun:
    """A run of this codec, diagnosed at these steps, or else of its best weights alone."""
    found = [
        Instant(step, diagnose(codec, images or IMAGES, None, torch.device("cpu"), step=step), 0) for step in steps
    ]
    best = Instant(None, diagnose(codec, images or IMAGES, None, torch.device("cpu"), step=None), 0)
    return DiagnosedRun(label, None, tuple(found), None if steps else best)


@pytest.mark.parametrize("steps", [(), (10,), (10, 20)])
def test_what_is_not_known_is_not_called_nothing(steps):
    (answer, *_) = answers([course("c", Copying(0.0), steps)])
    assert answer.startswith("c: what two scales have in common is not known")
    assert "still moving" not in answer
    assert "two scales have nothing" not in answer
    told = answer.partition("scale 2 contributes nothing, and foretells ")[2]
    assert float(told.partition(" ")[0]) > 0.9
    assert told.endswith("of scale 1's latent")


@pytest.mark.parametrize("steps", [(), (10, 20)])
@pytest.mark.parametrize("turned", [False, True])
def test_what_is_not_known_is_compared_with_nothing(steps, turned):
    both = [course("empty", Copying(0.0), steps), course("full", Banded((0, 0.25, 1)), steps)]
    said = answers(both[::-1] if turned else both)[-1]
    assert "is not known (" in said
    assert "no less" not in said
    assert " 0.000" in said or "(0.000" in said


def test_a_scale_without_part_beside_two_that_have_one():
    (answer, *_) = answers([course("c", LAST_EMPTY, (10, 20))])
    assert answer.startswith("c: two scales have 0.000 in common on average")
    assert "; scale 3 contributes nothing" in answer


def flat(value: float) -> tuple[str, torch.Tensor]:
    """An image without any detail."""
    return "flat", torch.full((1, 3, 32, 32), value)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [0.0, 0.3, 0.5])
def test_an_image_without_detail_takes_no_part(value):
    beside, alone = (course("c", Banded((0, 0.25, 1)), images=images).last for images in ([*IMAGES, flat(value)], None))
    for name in ("signed", "common", "centres"):
        np.testing.assert_allclose(getattr(beside, name), getattr(alone, name))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [0.0, 0.3])
def test_what_scales_bring_of_no_detail_is_not_known(value):
    found = course("c", Banded((0, 0.25, 1)), images=[flat(value)])
    assert np.isnan(found.last.signed).all()
    assert [row[4] for row in scale_rows(found)] == [""] * 3
    assert [row["signed"] for row in scale_records(found.last)] == [None] * 3


@pytest.mark.parametrize(("whose", "said"), [("along", " along their trainings"), ("best", ""), ("both", "")])
def test_those_diagnoses_are_looked_at_that_are_compared(whose, said):
    one, other = (course(label, Banded((0, 0.25, 1)), (10,)) for label in "ab")
    fewer = course("b", Banded((0, 0.25, 1)), (10,), IMAGES[:1])
    best, best_of_fewer = (course("b", Banded((0, 0.25, 1)), images=images).best for images in (None, IMAGES[:1]))
    one = DiagnosedRun("a", None, one.along, best)
    of_other = {
        "along": (fewer.along, best),
        "best": (other.along, best_of_fewer),
        "both": (fewer.along, best_of_fewer),
    }
    assert unlike([one, DiagnosedRun("b", None, *of_other[whose])]) == [
        f"other-images: a and b are not diagnosed alike: not the same images{said}"
    ]
    assert unlike([one, DiagnosedRun("b", None, other.along, best)]) == []
