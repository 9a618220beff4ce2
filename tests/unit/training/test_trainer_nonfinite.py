"""What the loop does with numbers that are not finite."""

import pytest
from training_parts import Gain, everything, loader, objective, stage, step_options, trainer, unequal
from whole_trainings import fresh, nonfinite, uninterrupted, weights_by_step

from lic_exp.divergence import DivergedError
from lic_exp.tracking import names
from lic_exp.training.checkpoint import load_checkpoint
from lic_exp.training.preempted import Preempted
from lic_exp.training.stepper import NonFiniteError


def test_a_nan_fails_before_the_update_and_names_the_images(tmp_path):
    run = nonfinite(tmp_path)
    with pytest.raises(NonFiniteError) as error:
        run.fit()
    images = next(loader().batches(4)).names
    assert str(error.value).startswith("loss and gradient norm of net and gradient norm of regularizer not finite")
    assert str(error.value).endswith(f"in the step after 4; images: {images[0]}, {images[1]}")
    assert error.value.step == run.step == 4
    untouched = uninterrupted(tmp_path / "four", stages=lambda of: [stage(of, 4)])
    assert unequal(dict(run.objective.codec.state_dict())["g_a.weight"], untouched.objective.codec.g_a.weight) == []
    assert unequal(run.setup.optimizers.state_dict(), untouched.setup.optimizers.state_dict()) == []


def test_a_gradient_that_is_not_finite_is_found_under_a_finite_loss(tmp_path):
    of = objective(regularizer=Gain(bad_steps=(2,)))
    with pytest.raises(NonFiniteError, match=r"^gradient norm of regularizer not finite in the step after 2; images: "):
        trainer(tmp_path, of, [stage(of, 4)]).fit()


def test_a_skipped_step_leaves_the_weights_and_is_counted(tmp_path, caplog):
    run = nonfinite(tmp_path, bad=(4, 6), on_nonfinite="skip")
    seen = weights_by_step(run)
    assert run.step == 10
    assert unequal(seen[3], seen[4]) == [] == unequal(seen[5], seen[6])
    assert unequal(seen[4], seen[5]) != []
    assert run.skipped == {4, 6}
    logged = [entry for entry in run.reporter.entries if names.TRAIN_SKIPPED_STEPS in entry]
    assert [entry[names.TRAIN_SKIPPED_STEPS] for entry in logged] == [0, 0, 0, 0, 1, 1, 2, 2, 2, 2]
    assert names.TRAIN_LOSS not in logged[4], "a step that was not made has no loss"
    assert "skipped (1 of at most 3)" in caplog.text
    assert {float(state["step"]) for state in run.setup.optimizers.net.state.values()} == {8.0}


@pytest.mark.parametrize("how", ["skip", "rollback"])
def test_the_budget_ends_the_skipping(tmp_path, how):
    run = nonfinite(tmp_path, bad=(1, 3, 5), on_nonfinite=how, nonfinite_budget=2)
    with pytest.raises(NonFiniteError, match=r"more than trainer\.nonfinite_budget=2 updates were skipped; the last: "):
        run.fit()
    assert run.step == 5
    assert nonfinite(tmp_path / "more", bad=(1, 3, 5), on_nonfinite=how, nonfinite_budget=3).fit() is None


def test_a_rollback_goes_back_to_the_checkpoint_and_leaves_the_step_out(tmp_path):
    """Checkpoints after 2, 4, ...; step 5 is bad: 4 is made again, with the same numbers, and 5 is left out."""
    run = nonfinite(tmp_path, bad=(5,), on_nonfinite="rollback")
    made, attempt = [], run._attempt
    run._attempt = lambda batch, progress: made.append(progress.step) or attempt(batch, progress)
    run.fit()
    assert made == [0, 1, 2, 3, 4, 5, 4, 6, 7, 8, 9]
    assert run.skipped == {5}
    assert run.reporter.advanced == [1, 2, 3, 4, 5, 5, 6, 7, 8, 9, 10]
    steps = [entry["step"] for entry in run.reporter.entries if names.TRAIN_LR in entry]
    assert steps == list(range(1, 11)), "what is made again is logged once"
    assert load_checkpoint(tmp_path / "step_00000010.pt")["skipped"] == [5]


def test_a_rollback_before_the_first_checkpoint_goes_back_to_the_start(tmp_path):
    run = nonfinite(tmp_path, bad=(1,), on_nonfinite="rollback", checkpoint_every_steps=100)
    run.fit()
    assert run.skipped == {1}
    assert run.step == 10


@pytest.mark.parametrize("how", ["skip", "rollback"])
@pytest.mark.parametrize("precision", ["float32", "fp16"])
def test_skipping_is_deterministic_and_resumes_exactly(tmp_path, how, precision):
    """Stopped before the bad step, just after it, and after the next checkpoint."""
    stepping = step_options(precision=precision)
    straight = nonfinite(tmp_path / "straight", on_nonfinite=how, stepping=stepping)
    straight.fit()
    for at in (3, 5, 8):
        folder, holder = tmp_path / str(at), []
        stop = lambda holder=holder, at=at: "asked" if holder[0].step == at else None  # noqa: E731
        holder.append(nonfinite(folder, on_nonfinite=how, stepping=stepping, should_stop=stop))
        with pytest.raises(Preempted):
            holder[0].fit()
        again = nonfinite(folder, on_nonfinite=how, stepping=stepping)
        again.reporter = holder[0].reporter
        assert again.resume()
        again.fit()
        assert unequal(everything(straight), everything(again)) == []


def test_a_crash_between_rollback_and_checkpoint_ends_the_same(tmp_path):
    """Only the checkpoint survives; it does not know of the bad step, which is met and left out once more."""
    straight = nonfinite(tmp_path / "straight", bad=(5,), on_nonfinite="rollback", checkpoint_every_steps=4)
    straight.fit()
    crashed = nonfinite(tmp_path / "crashed", bad=(5,), on_nonfinite="rollback", checkpoint_every_steps=4)
    attempt = crashed._attempt

    def crashing(batch, progress):
        if progress.step == 7:
            raise KeyboardInterrupt
        return attempt(batch, progress)

    crashed._attempt = crashing
    with pytest.raises(KeyboardInterrupt):
        crashed.fit()
    assert crashed.skipped == {5}
    again = nonfinite(tmp_path / "crashed", bad=(5,), on_nonfinite="rollback", checkpoint_every_steps=4)
    again.reporter = crashed.reporter
    again.resume()
    assert again.skipped == set()
    again.fit()
    assert unequal(everything(straight), everything(again)) == []


# A validation that is not finite


def validating(folder, values, **more):
    """A trainer of 10 steps, validated after every third, whose validations give these values in turn."""
    run = fresh(folder, **more)
    left = iter(values)
    run.validate = lambda codec: {names.VAL_RD_LOSS: next(left)}
    return run


@pytest.mark.parametrize("how", ["fail", "skip", "rollback"])
@pytest.mark.parametrize("value", ["nan", "inf"])
@pytest.mark.parametrize(("before", "step"), [((), 3), ((2.0, 1.0), 9)])
def test_a_validation_that_is_not_finite_ends_the_run_at_once(tmp_path, how, value, before, step):
    """Whatever becomes of updates: there is none that could be left out, and made again it would end the same."""
    run = validating(tmp_path, [*before, float(value), 0.5], on_nonfinite=how)
    with pytest.raises(DivergedError, match=rf"^val/rd_loss is {value} in the validation after step {step}: ") as error:
        run.fit()
    assert error.value.step == run.step == step
    assert run.best == min(before, default=float("inf"))
    assert run.checkpoints.best.exists() == bool(before)
    assert max(path.name for path in run.checkpoints.steps()) == f"step_{step - 1:08d}.pt", "none of the spoilt weights"
    *_, validation, mark = run.reporter.entries
    assert (validation["step"], str(validation[names.VAL_RD_LOSS])) == (step, value)
    assert (mark["step"], mark[names.TRAIN_DIVERGED]) == (step, 1.0)


def test_the_plateau_never_hears_of_a_validation_that_is_not_finite(tmp_path):
    run = validating(tmp_path, [2.0, float("nan")], schedule="plateau")
    with pytest.raises(DivergedError):
        run.fit()
    assert (run.setup.schedule.best, run.setup.schedule.reductions) == (2.0, 0)
