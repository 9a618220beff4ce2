"""What a run is too short for, as it is said of configs; and which configs are one experiment by that."""

import math

import pytest

from lic_exp.config.compose import compose
from lic_exp.config.overrides import parse
from lic_exp.config.reach import end_of, experiment_of, never_reached
from lic_exp.config.validation import validate

MODEL = ["model=hpcm_tiny", "tracker=none", "data.steps_per_epoch=10"]


def config(*overrides):
    return validate(compose(parse([*MODEL, *overrides])))


@pytest.mark.parametrize(
    ("overrides", "steps", "epochs"),
    [
        (["trainer.max_steps=80"], 80, 8),
        (["trainer.max_steps=81"], 81, 9),
        (["trainer.max_steps=null", "trainer.max_epochs=7"], 70, 7),
        (["trainer.max_steps=null", "stages=[{steps: 25},{steps: 5, data: {steps_per_epoch: 4}}]"], 30, 5),
    ],
)
def test_where_training_ends(overrides, steps, epochs):
    end = end_of(config(*overrides))
    assert (end.step, end.epoch, end.share) == (steps, epochs, 1.0)


STAGE = "its stage lasts to the end of 100 epochs, and this run has 8: it ends after 8% of the stage"


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["spectral_reg=none"], []),
        (["spectral_reg=intra"], [f"spectral_reg: {STAGE}"]),
        (["spectral_reg=intra", "spectral_reg.truncation_length=8"], []),
        (
            ["spectral_reg=intra", "spectral_reg.truncation_length=81", "spectral_reg.truncation_unit=step"],
            ["spectral_reg: its stage lasts to the end of 81 steps, and this run has 80: it ends after 99%"],
        ),
        (
            ["spectral_reg=intra", "spectral_reg.truncation_start=8", "spectral_reg.truncation_length=1"],
            ["spectral_reg: its stage begins at epoch 8, and this run has 8: it is never reached"],
        ),
        (["spectral_reg=intra", "spectral_reg.truncation_length=1", "spectral_reg.truncation_unit=share"], []),
        (["spectral_reg=inter_cos"], ["spectral_reg: its term begins at epoch 100, and this run has 8"]),
        (["spectral_reg=inter_cos", "spectral_reg.start=7"], []),
        (
            ["spectral_reg=inter_cos", "spectral_reg.start=6", "spectral_reg.ramp=3"],
            ["spectral_reg: its term has its full weight from epoch 9, and this run has 8"],
        ),
        (
            ["spectral_reg=both_cos"],
            [f"spectral_reg.intra: {STAGE}", "spectral_reg.inter: its term begins at epoch 100, and this run has 8"],
        ),
        (
            ["spectral_reg=both", "spectral_reg.intra.truncation_length=8"],
            ["spectral_reg.inter: its term begins at epoch 8, and this run has 8"],
        ),
        (["spectral_reg=both", "spectral_reg.intra.truncation_length=8", "spectral_reg.overlap=1"], []),
    ],
)
def test_what_is_never_reached(overrides, said):
    found = never_reached(config("trainer.max_steps=80", *overrides))
    assert len(found) == len(said)
    assert all(text.startswith(beginning) for text, beginning in zip(found, said, strict=True))


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (["spectral_reg=intra"], ["spectral_reg=both_cos"], True),
        (["spectral_reg=both"], ["spectral_reg=both_cos"], True),
        (["spectral_reg=none"], ["spectral_reg=inter"], True),
        (["spectral_reg=none"], ["spectral_reg=none", "name=x", "tags=[y]"], True),
        (["spectral_reg=none"], ["spectral_reg=inter", "spectral_reg.start=7"], False),
        (["spectral_reg=intra"], ["spectral_reg=intra", "spectral_reg.truncation_length=90"], False),
        (["spectral_reg=intra"], ["spectral_reg=both_cos", "spectral_reg.overlap=93"], False),
        (["spectral_reg=none"], ["spectral_reg=inter", "seed=1"], False),
    ],
)
def test_configs_that_differ_only_in_what_they_never_reach_are_one_experiment(one, other, alike):
    texts = [experiment_of(config("trainer.max_steps=80", *overrides)) for overrides in (one, other)]
    assert (texts[0] == texts[1]) is alike
    long = [experiment_of(config("trainer.max_steps=2000", *overrides)) for overrides in (one, other)]
    assert (long[0] == long[1]) is ("tags=[y]" in other)


def test_each_stage_counts_its_own_epochs():
    """40 steps in epochs of 10 and 40 in epochs of 1: 44 epochs, which a count by the first length would call 8."""
    staged = ["trainer.max_steps=null", "stages=[{steps: 40},{steps: 40, data: {steps_per_epoch: 1}}]"]
    (text,) = never_reached(config("spectral_reg=intra", *staged))
    assert "this run has 44" in text
    assert math.isclose(end_of(config(*staged)).epoch, 44)


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (["spectral_reg=none"], ["spectral_reg=inter", "spectral_reg.delta=0"], True),
        (["spectral_reg=none"], ["spectral_reg=inter_predict", "spectral_reg.delta=0"], True),
        (["spectral_reg=inter_cos", "spectral_reg.delta=0"], ["spectral_reg=inter_game", "spectral_reg.delta=0"], True),
        (["spectral_reg=intra"], ["spectral_reg=both", "spectral_reg.inter.delta=0"], True),
        (["spectral_reg=intra"], ["spectral_reg=both_predict", "spectral_reg.inter.delta=0"], True),
        (["spectral_reg=none"], ["spectral_reg=both", "spectral_reg.inter.delta=0"], False),
        (["spectral_reg=none"], ["spectral_reg=inter", "spectral_reg.delta=1e-9"], False),
    ],
)
def test_a_term_without_weight_is_none(one, other, alike):
    texts = [experiment_of(config("trainer.max_steps=2000", *overrides)) for overrides in (one, other)]
    assert (texts[0] == texts[1]) is alike
