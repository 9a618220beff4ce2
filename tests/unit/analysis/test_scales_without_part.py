"""What is said of diagnoses with a scale that contributes nothing, and what of images without any detail."""

import pytest
import torch
from scale_toys import Banded, Copying, ScaleToy, photos

from analysis.diagnoses import DiagnosedRun, Instant
from analysis.spectral_text import answers
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
