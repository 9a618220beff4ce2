"""Warm-up, a constant rate and a decay: by the equation, and up to where two such schedules have one rate."""

import math

import pytest
import torch

from lic_exp.optimizers.schedules import Constant
from lic_exp.optimizers.stable_decay import StableDecay
from lic_exp.progress import Progress

LR, STEPS = 0.3, 40


def schedule(**changes) -> StableDecay:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=LR)
    usual = {"decay_from": 0.8, "unit": "share", "shape": "linear", "final_factor": 0.0, "warmup_steps": 0}
    return StableDecay(optimizer, **usual | changes)


def rates(of, steps=STEPS, until=None):
    found = []
    for step in range(until or steps):
        of.before_step(Progress(step=step, epoch=step // 4, share=step / steps))
        found.append(of.optimizer.param_groups[0]["lr"])
    return found


@pytest.mark.parametrize("shape", ["linear", "one_minus_sqrt"])
@pytest.mark.parametrize(("unit", "decay_from"), [("share", 0.8), ("step", 32)])
def test_the_equation(shape, unit, decay_from):
    found = rates(schedule(shape=shape, unit=unit, decay_from=decay_from, final_factor=0.1, warmup_steps=4))
    for step, rate in enumerate(found):
        position = max(0.0, (step - 32) / 8)
        left = 1 - position if shape == "linear" else 1 - math.sqrt(position)
        assert rate == pytest.approx(LR * min(1.0, (step + 1) / 4) * (0.1 + 0.9 * left), rel=1e-9), step


@pytest.mark.parametrize("steps", [7, 1600, 60_000])
def test_a_decay_in_steps_ends_where_the_training_does(steps):
    of = schedule(unit="step", decay_from=steps - 5)
    for step in (steps - 5, steps - 1):
        of.before_step(Progress(step=step, epoch=0, share=step / steps))
        assert of.optimizer.param_groups[0]["lr"] == pytest.approx(LR * (steps - step) / 5, rel=1e-6)


def test_a_trunk_has_the_rates_of_its_branches_up_to_there():
    trunk = rates(schedule(decay_from=1.0, warmup_steps=4))
    constant = Constant(torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=LR), warmup_steps=4)
    assert trunk == rates(constant)
    for branch in (
        rates(schedule(decay_from=0.8, warmup_steps=4), 20),
        rates(schedule(decay_from=16, unit="step", warmup_steps=4), 20),
    ):
        assert branch[:17] == trunk[:17]
        assert branch[17] < trunk[17]
    assert rates(schedule(unit="step", decay_from=100, warmup_steps=4)) == trunk


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decay_from": 0}, r"decay_from=0 leaves nothing"),
        ({"decay_from": 1.5}, r"decay_from=1\.5 is no share"),
        ({"unit": "step", "decay_from": 3.5}, r"decay_from=3\.5: with unit=step it must be a whole number"),
    ],
)
def test_places_that_are_none_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        schedule(**options)
