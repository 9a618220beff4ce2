"""The loop: workers that end, rehearsal, extension."""

import itertools
from copy import deepcopy

import pytest
from training_parts import everything, loader, objective, stage, step_options, trainer, unequal
from whole_trainings import fresh, two_stages, uninterrupted

from lic_exp.models.files import CheckpointError
from lic_exp.training.checkpoint import load_checkpoint
from lic_exp.training.preempted import Preempted
from lic_exp.training.rng import seed_everything
from lic_exp.training.taking_over import take_over


class Orphaned:
    """A loader whose workers are gone after four batches."""

    steps_per_epoch = 3

    def batches(self, start_step):
        yield from itertools.islice(loader().batches(start_step), 4 - start_step)
        raise EOFError


def test_workers_that_a_signal_ended_do_not_fail_the_run(tmp_path):
    """It comes while the loop waits for them, or they would not be missed before it stops."""
    of, made = objective(), []

    def should_stop():
        made.append(None)
        return "SIGTERM" if len(made) > 5 else None  # asked once before each of five batches

    run = trainer(tmp_path, of, [stage(of, 10, batches=Orphaned())], should_stop=should_stop)
    with pytest.raises(Preempted, match="SIGTERM: stopped after step 4 of 10; its checkpoint is written"):
        run.fit()
    assert load_checkpoint(tmp_path / "step_00000004.pt")["step"] == 4


def test_workers_that_end_by_themselves_fail_it(tmp_path):
    of = objective()
    with pytest.raises(EOFError):
        trainer(tmp_path, of, [stage(of, 10, batches=Orphaned())]).fit()


@pytest.mark.parametrize("precision", ["float32", "fp16"])
def test_a_rehearsal_leaves_no_trace(tmp_path, precision):
    """Neither in weights, buffers and random states, nor in the batches, nor in what comes out in the end."""
    how = {"stages": two_stages(reset=False), "ema_decay": 0.9, "stepping": step_options(precision=precision)}
    straight = fresh(tmp_path / "straight", **how)
    rehearsed = fresh(tmp_path / "rehearsed", **how)
    seed_everything(3)
    before = deepcopy(everything(rehearsed))
    rehearsed.rehearse()
    assert unequal(before, everything(rehearsed)) == []
    assert all(parameter.grad is None for parameter in rehearsed.objective.parameters())
    for run in (straight, rehearsed):
        seed_everything(3)
        run.fit()
    assert unequal(everything(straight), everything(rehearsed)) == []


def test_a_rehearsal_meets_what_a_later_stage_cannot_do(tmp_path):
    """Sides of 18 pixels are no multiple of 4: the codec's output has another shape than its input."""
    run = fresh(tmp_path, stages=lambda of: [stage(of, 500), stage(of, 5, batches=loader(crop_size=18))])
    with pytest.raises(ValueError, match="x_hat and target must have the same shape"):
        run.rehearse()


def test_an_extension_goes_on_from_the_parents_last_step(tmp_path):
    parent = uninterrupted(tmp_path / "parent", stages=lambda of: [stage(of, 6)])
    child = fresh(tmp_path / "child", stages=lambda of: [stage(of, 10)], identity="child")
    take_over(child, parent.checkpoints, 6)
    assert child.step == 6
    child.fit()
    straight = uninterrupted(tmp_path / "straight", stages=lambda of: [stage(of, 10)])
    assert unequal(child.state_dict()["codec"], straight.state_dict()["codec"]) == []
    assert load_checkpoint(tmp_path / "child" / "best.pt")["identity"] == "child"


def test_an_extension_must_be_longer(tmp_path):
    parent = uninterrupted(tmp_path / "parent", stages=lambda of: [stage(of, 6)])
    child = fresh(tmp_path / "child", stages=lambda of: [stage(of, 6)])
    with pytest.raises(ValueError, match="has 6 steps done; an extension to 6 steps needs fewer"):
        take_over(child, parent.checkpoints, 6)
    with pytest.raises(CheckpointError, match=r"step_00000005\.pt"):
        take_over(child, parent.checkpoints, 5)
