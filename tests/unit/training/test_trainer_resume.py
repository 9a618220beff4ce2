"""A training that was stopped and resumed is the one that was not, to the last bit."""

from functools import partial

import pytest
import torch
from training_parts import stage, step_options, variable_rate
from whole_trainings import FACTORIES, SCHEDULES, TWO, assert_exact, two_stages

from lic_exp.tracking import names


@pytest.mark.parametrize("factory", FACTORIES)
def test_resume_is_exact_with_every_optimizer(tmp_path, factory):
    assert_exact(tmp_path, factory=factory)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_resume_is_exact_with_every_schedule(tmp_path, schedule):
    straight = assert_exact(tmp_path, schedule=schedule)
    rates = {entry[names.TRAIN_LR] for entry in straight.reporter.entries if names.TRAIN_LR in entry}
    assert (len(rates) > 1) == (schedule != "constant")


@pytest.mark.parametrize("at", range(10))
def test_resume_is_exact_from_every_step(tmp_path, at):
    """Before the first step too, and where a log, a validation and a checkpoint were due."""
    assert_exact(tmp_path, at=at, schedule="plateau", ema_decay=0.8, eval_weights="ema")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_resume_is_exact_in_mixed_precision(tmp_path, precision):
    straight = assert_exact(tmp_path, stepping=step_options(precision=precision))
    assert bool(straight.state_dict()["scaler"]) == (precision == "fp16")


def test_resume_is_exact_in_channels_last(tmp_path):
    def stages(of):
        of.codec.to(memory_format=torch.channels_last)
        return [stage(of, 10)]

    assert_exact(tmp_path, stages=stages, stepping=step_options(channels_last=True))


def test_the_scale_of_fp16_is_resumed(tmp_path):
    """Its first scale of 65536 overflows on this loss, so it falls: a new one would fall again."""

    def stages(of):
        of.criterion.lmbda = 1e3
        return [stage(of, 10)]

    straight = assert_exact(tmp_path, stages=stages, stepping=step_options(precision="fp16"))
    assert straight.stepper.scaler.get_scale() < 65536


@pytest.mark.parametrize("at", [3, 5, 8])
@pytest.mark.parametrize("reset", TWO.values(), ids=TWO)
def test_resume_is_exact_in_every_stage_and_at_their_boundary(tmp_path, at, reset):
    assert_exact(tmp_path, at=at, stages=two_stages(reset), ema_decay=0.9)


@pytest.mark.parametrize("at", [1, 3, 5, 8])
@pytest.mark.parametrize("name", ["muon", "soap", "cautious_adam"])
def test_resume_is_exact_with_moments_of_a_former_stage_parts_and_an_average(tmp_path, name, at):
    """SOAP renews its bases after the third step and every third that follows, whichever stage that is in."""

    def stages(of):
        slower = partial(FACTORIES[name], lr=1e-4)
        return [stage(of, 5, factory=FACTORIES[name]), stage(of, 5, factory=slower, lr=1e-4, reset=False)]

    straight = assert_exact(tmp_path, at=at, stages=stages, stepping=step_options(accumulate=2), ema_decay=0.9)
    counts = {float(state["step"]) for state in straight.setup.optimizers.net.state.values() if "step" in state}
    assert counts == ({9.0, 10.0} if name == "soap" else {10.0})


@pytest.mark.parametrize("drawn", ["continuous", "whole"])
@pytest.mark.parametrize("at", [0, 3, 5, 8])
def test_resume_is_exact_with_a_range_of_rates(tmp_path, at, drawn):
    """The rates go on where they stood, in both stages."""
    rates, stepping = variable_rate(drawn_qualities=drawn), step_options(accumulate=2)
    straight = assert_exact(
        tmp_path, at=at, rates=rates, stages=two_stages(reset=False), stepping=stepping, ema_decay=0.9
    )
    logged = [entry for entry in straight.reporter.entries if names.VAL_RD_LOSS in entry]
    assert names.at_quality(names.VAL_RD_LOSS, 21) in logged[-1]
