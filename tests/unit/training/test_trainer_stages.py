"""Stages: what changes at their boundary and what goes on."""

from functools import partial

import pytest
from training_parts import stage
from whole_trainings import FACTORIES, TWO, fresh, two_stages, uninterrupted

from lic_exp.optimizers.schedules import Cosine
from lic_exp.tracking import names


def test_a_stage_changes_batch_crop_and_rate_and_counts_epochs_on(tmp_path):
    """A stage's last epoch may be cut short; the next one begins with the next epoch, and with its first batch."""
    run = fresh(tmp_path, stages=two_stages(reset=False), validate_every_steps=10)
    shapes, images, step = [], [], run.stepper.step

    def watched(batch, progress):
        shapes.append(tuple(batch.x.shape))
        images.append(batch.names)
        return step(batch, progress)

    run.stepper.step = watched
    new_stepper = run._new_stepper

    def of_next_stage(setup):
        nonlocal step
        made = new_stepper(setup)
        step, made.step = made.step, watched
        return made

    run._new_stepper = of_next_stage
    run.fit()
    assert shapes == [(2, 3, 16, 16)] * 5 + [(3, 3, 24, 24)] * 5
    logged = [entry for entry in run.reporter.entries if names.TRAIN_LR in entry]
    assert [entry[names.TRAIN_LR] for entry in logged] == [1e-3] * 5 + [1e-4] * 5
    assert [entry["epoch"] for entry in logged] == [0, 0, 0, 1, 1, 2, 2, 3, 3, 4]
    assert sorted(images[5] + images[6]) == sorted(images[7] + images[8]), "whole passes from the first batch on"


@pytest.mark.parametrize("reset", TWO.values(), ids=TWO)
def test_the_moments_cross_a_stage_boundary_unless_reset(tmp_path, reset):
    run = uninterrupted(tmp_path, stages=two_stages(reset))
    counts = {float(state["step"]) for state in run.setup.optimizers.net.state.values()}
    assert counts == {5.0 if reset else 10.0}


def test_each_stages_schedule_runs_its_whole_course(tmp_path):
    cosine = partial(Cosine, final_factor=0.0, warmup_steps=0)
    run = uninterrupted(tmp_path, stages=lambda of: [stage(of, 4, schedule=cosine), stage(of, 4, schedule=cosine)])
    rates = [entry[names.TRAIN_LR] for entry in run.reporter.entries if names.TRAIN_LR in entry]
    assert rates[:4] == rates[4:]
    assert rates[0] == 1e-3


def test_a_stage_with_another_kind_of_optimizer_must_reset_it(tmp_path):
    run = fresh(tmp_path, stages=lambda of: [stage(of, 2), stage(of, 2, factory=FACTORIES["sgd"])])
    with pytest.raises(ValueError, match="a Adam state cannot continue in another optimizer: reset it"):
        run.fit()
    uninterrupted(tmp_path, stages=lambda of: [stage(of, 2), stage(of, 2, factory=FACTORIES["sgd"], reset=True)])
