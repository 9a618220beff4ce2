"""Weights that are not finite end a run as diverged, whatever its monitor says; and no update is lost uncounted."""

import math

import pytest
import torch
from training_parts import Gain, Poisoned, SmallCodec, loader, objective, stage, step_options, trainer
from whole_trainings import fresh, nonfinite

from lic_exp.divergence import DivergedError
from lic_exp.models.files import CheckpointError
from lic_exp.tracking import names
from lic_exp.training.checkpoint import Checkpoints
from lic_exp.training.finite import FiniteWeights
from lic_exp.training.preempted import Preempted
from lic_exp.training.stepper import DROPPED_IN_A_ROW, NonFiniteError
from lic_exp.training.taking_over import take_over

NAN = float("nan")


def spoiling(run, at, spoil):
    """The trainer, whose update after `at` steps leaves behind what `spoil(trainer)` does to the weights."""
    attempt = run._attempt

    def attempted(batch, progress):
        done = attempt(batch, progress)
        if progress.step == at:
            with torch.no_grad():
                spoil(run)
        return done

    run._attempt = attempted
    return run


WEIGHTS = {
    "objective.codec.entropy.quantiles": lambda run: run.objective.codec.entropy.quantiles[1:].fill_(NAN),
    "objective.codec.seen": lambda run: run.objective.codec.seen.fill_(math.inf),
    "objective.regularizers.gain.gain": lambda run: run.objective.regularizers.gain.gain.fill_(-math.inf),
    "average.module.entropy.quantiles": lambda run: run.ema.module.entropy.quantiles.fill_(NAN),
}


@pytest.mark.parametrize("how", ["fail", "skip", "rollback"])
@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("at", [1, 3])
def test_weights_spoilt_under_a_finite_monitor_end_the_run(tmp_path, name, at, how):
    """After 2 and 4 steps there is a checkpoint, after 3 and 4 a validation; 4 are all."""
    of = objective(regularizer=Gain())
    run = trainer(tmp_path, of, [stage(of, 4)], on_nonfinite=how, ema_decay=0.5)
    run.validate = lambda codec: {names.VAL_RD_LOSS: 1.0}
    with pytest.raises(DivergedError, match=rf"^{name} is not finite after step {at + 1}: the weights are spoilt$"):
        spoiling(run, at, WEIGHTS[name]).fit()
    assert f"step_{at + 1:08d}.pt" not in [path.name for path in run.checkpoints.steps()]
    assert run.checkpoints.best.exists() == (at == 3)
    assert run.reporter.entries[-1][names.TRAIN_DIVERGED] == 1.0


def test_a_request_to_stop_writes_no_checkpoint_of_spoilt_weights(tmp_path):
    of, held = objective(), []
    run = trainer(tmp_path, of, [stage(of, 9)], should_stop=lambda: "asked" if held[0].step == 1 else None)
    held.append(spoiling(run, 0, lambda run: run.objective.codec.entropy.quantiles.fill_(NAN)))
    with pytest.raises(DivergedError):
        run.fit()
    assert run.checkpoints.steps() == []


@pytest.mark.parametrize("begin", ["resume", "extend", "fit", "rehearse"])
def test_a_run_does_not_go_on_from_spoilt_weights(tmp_path, begin):
    """Such as a checkpoint of an earlier version holds."""
    first = fresh(tmp_path)
    first.fit()
    state = first.state_dict()
    del state["dropped"]  # which earlier versions did not write
    state["codec"]["entropy.quantiles"].fill_(NAN)
    first.checkpoints.save_step(first.step, state)
    of = objective(regularizer=Gain())
    run = trainer(
        tmp_path if begin == "resume" else tmp_path / "new", of, [stage(of, 12)], identity=first.checkpoints.identity
    )
    if begin == "resume":
        assert run.resume()
    elif begin == "extend":
        take_over(run, Checkpoints(tmp_path, first.checkpoints.identity), first.step)
    else:
        with torch.no_grad():
            of.codec.entropy.quantiles.fill_(NAN)
    with pytest.raises(DivergedError, match=r"quantiles is not finite after step"):
        run.rehearse() if begin == "rehearse" else run.fit()


def test_a_run_without_best_weights_is_not_finished(tmp_path):
    run = fresh(tmp_path)
    run.fit()
    run.checkpoints.best.unlink()
    again = fresh(tmp_path)
    assert again.resume()
    with pytest.raises(CheckpointError, match=r"best\.pt is gone\. trainer\.resume=never"):
        again.fit()


def test_a_rehearsal_tells_that_the_first_step_is_not_finite(tmp_path):
    of = objective()
    batches = Poisoned(loader(), steps=(0,))
    with pytest.raises(DivergedError, match="tried beforehand is nan"):
        trainer(tmp_path, of, [stage(of, 4, batches=batches)]).rehearse()
    trainer(tmp_path, of, [stage(of, 4, batches=batches)], on_nonfinite="skip").rehearse()


# Skipping that mends nothing


def test_spoilt_weights_are_not_skipped_over(tmp_path):
    run = nonfinite(tmp_path, bad=(), on_nonfinite="skip", nonfinite_budget=1000, validate_every_steps=100)
    spoiling(run, 2, lambda run: run.objective.codec.g_a.weight.fill_(NAN))
    with pytest.raises(DivergedError, match=r"g_a\.weight is not finite after step 3: which no skipping mends"):
        run.fit()
    assert run.skipped == {3}


def test_a_budget_spent_in_a_row_says_that_it_never_ends(tmp_path):
    run = nonfinite(tmp_path, bad=(1, 4, 5, 6), on_nonfinite="skip", nonfinite_budget=3)
    with pytest.raises(
        NonFiniteError, match=r"3 updates were skipped, all 3 since step 4: skipping leaves the weights"
    ):
        run.fit()


def test_a_budget_spent_here_and_there_does_not(tmp_path):
    run = nonfinite(tmp_path, bad=(1, 3, 5), on_nonfinite="skip", nonfinite_budget=2)
    with pytest.raises(NonFiniteError, match=r"2 updates were skipped; the last: "):
        run.fit()


# What fp16's loss scaler drops


class Steep(SmallCodec):
    """A codec whose gradient alone is infinite, in some steps: its loss is finite."""

    bad: tuple[int, ...] = ()

    def forward(self, x):
        output = super().forward(x)
        if self.training and int(self.seen) // len(x) - 1 in self.bad:
            output.x_hat.register_hook(lambda gradient: gradient * torch.inf)
        return output


def half(folder, bad, steps=8, **more):
    of = objective()
    of.codec.__class__ = Steep
    of.codec.bad = bad
    run = trainer(folder, of, [stage(of, steps)], stepping=step_options(precision="fp16"), **more)
    run.stepper.scaler = torch.amp.GradScaler("cpu", init_scale=2.0)  # which by itself drops nothing here
    return run


def test_updates_that_the_scaler_drops_are_counted(tmp_path):
    run = half(tmp_path, bad=(2, 3, 6))
    run.fit()
    logged = [entry for entry in run.reporter.entries if names.TRAIN_SKIPPED_STEPS in entry]
    assert [entry[names.TRAIN_SKIPPED_STEPS] for entry in logged] == [0, 0, 1, 2, 2, 2, 3, 3]
    assert [names.train_grad_norm("net") in entry for entry in logged] == [
        True,
        True,
        False,
        False,
        True,
        True,
        False,
        True,
    ]
    assert all(math.isfinite(value) for entry in logged for value in entry.values())
    assert run.skipped == set(), "they may be made again after a rollback"


def test_the_count_goes_on_after_a_stop(tmp_path):
    held = []
    run = half(tmp_path, bad=(1, 5), should_stop=lambda: "asked" if held[0].step == 3 else None)
    held.append(run)
    with pytest.raises(Preempted):
        run.fit()
    again = half(tmp_path, bad=(1, 5))
    again.reporter = run.reporter
    assert again.resume()
    assert again.dropped == 1
    again.fit()
    assert again.dropped == 2


def test_a_scaler_that_drops_for_ever_ends_the_run(tmp_path):
    run = half(tmp_path, bad=tuple(range(2, 100)), steps=100)
    run.validate = lambda codec: {names.VAL_RD_LOSS: 1.0}
    with pytest.raises(NonFiniteError, match=rf"gradients of {DROPPED_IN_A_ROW} steps in a row, at any loss scale"):
        run.fit()
    assert run.step == DROPPED_IN_A_ROW + 1


def test_a_constant_that_is_not_finite_is_no_weight():
    module = torch.nn.Linear(2, 2)
    module.register_buffer("mask", torch.full((2, 2), -math.inf))
    module.register_buffer("count", torch.zeros(2, dtype=torch.long))
    module.register_buffer("mean", torch.zeros(2))
    weights = FiniteWeights({"a": module, "b": None})
    assert weights.not_finite() == []
    module.mean[0] = NAN
    assert weights.not_finite() == ["a.mean"]
