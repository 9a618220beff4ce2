"""The loop: exact resume, stages, averaged weights, and what it does with numbers that are not finite."""

import itertools
from copy import deepcopy
from functools import partial

import pytest
import torch
from training_parts import (
    Gain,
    adam,
    constant,
    everything,
    loader,
    objective,
    stage,
    step_options,
    trainer,
    unequal,
    variable_rate,
)

from lic_exp.optimizers import factories
from lic_exp.optimizers.muon import Muon
from lic_exp.optimizers.schedules import Cosine, MultiStep, Plateau
from lic_exp.tracking import names
from lic_exp.training import trainer as trainer_module
from lic_exp.training.checkpoint import Checkpoints, load_checkpoint
from lic_exp.training.rng import seed_everything
from lic_exp.training.stepper import NonFiniteError, Stepper
from lic_exp.training.trainer import Preempted

FACTORIES = {
    "adam": adam,
    "adamw": partial(factories.adamw, lr=1e-3, betas=[0.9, 0.999], eps=1e-8, weight_decay=0.1),
    "sgd": partial(factories.sgd, lr=1e-3, momentum=0.9, nesterov=True, weight_decay=0.0),
    "muon": partial(
        Muon,
        lr=1e-3,
        adam_lr=1e-3,
        momentum=0.9,
        nesterov=True,
        ns_steps=3,
        weight_decay=0.0,
        betas=[0.9, 0.999],
        eps=1e-8,
    ),
}
SCHEDULES = {
    "constant": constant,
    "cosine": partial(Cosine, final_factor=0.1, warmup_steps=3),
    "multistep": partial(MultiStep, milestones=[3, 7], gamma=0.5, unit="step", warmup_steps=0),
    # Every second validation reduces the rate: nothing is that much better.
    "plateau": partial(Plateau, factor=0.5, patience=0, threshold=0.9, min_lr=0.0, warmup_steps=2),
}


def fresh(folder, *, factory="adam", schedule="constant", stages=None, stop_after=None, rates=None, **more):
    """A new trainer of the usual parts, which asks itself to stop before step `stop_after`."""
    of = objective(regularizer=Gain(), rates=rates)
    made = stages(of) if stages else [stage(of, 10, factory=FACTORIES[factory], schedule=SCHEDULES[schedule])]
    holder = []
    stop = lambda: "asked" if holder[0].step == stop_after else None  # noqa: E731
    holder.append(trainer(folder, of, made, should_stop=stop, **more))
    return holder[0]


def uninterrupted(folder, **how):
    straight = fresh(folder, **how)
    straight.fit()
    return straight


def resumed(folder, *, at, **how):
    """The same training, stopped before step `at` and continued by new objects from other random states."""
    first, second = fresh(folder, stop_after=at, **how), fresh(folder, **how)
    with pytest.raises(Preempted, match=f"asked: stopped after step {at} of "):
        first.fit()
    second.reporter = first.reporter
    seed_everything(77)
    assert second.resume()
    assert second.step == at
    second.fit()
    return second


def assert_exact(tmp_path, *, at=4, **how):
    straight = uninterrupted(tmp_path / "straight", **how)
    again = resumed(tmp_path / "again", at=at, **how)
    assert unequal(everything(straight), everything(again)) == []
    best = [load_checkpoint(folder / "best.pt") for folder in (tmp_path / "straight", tmp_path / "again")]
    assert unequal(*best) == []
    return straight


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
    assert_exact(tmp_path, at=at, schedule="plateau", ema_decay=0.8, judged_weights="ema")


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


TWO = {"keep": False, "reset": True}


def two_stages(reset):
    """5 steps of 2 crops of 16 pixels at 1e-3, then 5 of 3 crops of 24 pixels at 1e-4; epochs of 3 and 2 steps."""
    slow = partial(factories.adam, lr=1e-4, betas=[0.9, 0.999], eps=1e-8, weight_decay=0.0)
    return lambda of: [
        stage(of, 5),
        stage(of, 5, batches=loader(batch_size=3, crop_size=24), factory=slow, lr=1e-4, reset=reset),
    ]


@pytest.mark.parametrize("at", [3, 5, 8])
@pytest.mark.parametrize("reset", TWO.values(), ids=TWO)
def test_resume_is_exact_in_every_stage_and_at_their_boundary(tmp_path, at, reset):
    assert_exact(tmp_path, at=at, stages=two_stages(reset), ema_decay=0.9)


def test_a_stage_changes_batch_crop_and_rate_and_counts_epochs_on(tmp_path):
    """A stage's last epoch may be cut short; the next one begins with the next epoch, and with its first batch."""
    run = fresh(tmp_path, stages=two_stages(reset=False), validate_every_steps=10)
    shapes, images, step = [], [], run.stepper.step

    def watched(batch, progress):
        shapes.append(tuple(batch.x.shape))
        images.append(batch.names)
        return step(batch, progress)

    run.stepper.step = watched
    enter = run._enter

    def entered(*arguments):
        nonlocal step
        enter(*arguments)
        step, run.stepper.step = run.stepper.step, watched

    run._enter = entered
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


def test_ema_is_the_recursion_by_hand(tmp_path):
    run = fresh(tmp_path, ema_decay=0.75)
    raw, step = [], run.stepper.step

    def watched(batch, progress):
        done = step(batch, progress)
        raw.append(run.objective.codec.g_a.weight.detach().double().clone())
        return done

    run.stepper.step = watched
    run.fit()
    expected = raw[0]
    for weight in raw[1:]:
        expected = 0.75 * expected + 0.25 * weight
    assert torch.allclose(run.ema.codec.g_a.weight.double(), expected, rtol=1e-6, atol=0)
    assert torch.equal(run.ema.codec.seen, run.objective.codec.seen), "buffers are copied"


@pytest.mark.parametrize("judged", ["raw", "ema"])
def test_the_judged_weights_give_validation_and_best(tmp_path, judged):
    run = uninterrupted(tmp_path, ema_decay=0.9, judged_weights=judged)
    codecs = {"raw": run.objective.codec, "ema": run.ema.codec}
    values = {name: run.validate(codec)[names.VAL_RD_LOSS] for name, codec in codecs.items()}
    assert values["raw"] != values["ema"]
    last = run.reporter.entries[-1]
    assert last["step"] == 10
    assert last[names.VAL_RD_LOSS] == values[judged] == run.best, "the loss still falls, so the last is the best"
    best = load_checkpoint(tmp_path / "best.pt")
    assert unequal(best["codec"], dict(codecs[judged].state_dict())) == []


# What is not finite


def nonfinite(folder, *, bad=(4,), steps=10, **more):
    of = objective(regularizer=Gain())
    return trainer(folder, of, [stage(of, steps, batches=loader(bad_steps=bad))], **more)


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


def weights_by_step(run):
    """Run to the end; the weights after every attempt, by the step it made."""
    seen, attempt = {}, run._attempt

    def watched(batch, progress):
        done = attempt(batch, progress)
        seen[progress.step] = deepcopy(dict(run.objective.codec.named_parameters()))
        return done

    run._attempt = watched
    run.fit()
    return seen


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


# Steps that a device skips by itself, which the host hears of later


@pytest.fixture
def gated(monkeypatch):
    """The way of a GPU, taken on the CPU, whose fused kernels can skip a step too."""

    class Gated(Stepper):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            assert self.optimizers.can_skip
            self.gated = True

    monkeypatch.setattr(trainer_module, "Stepper", Gated)
    monkeypatch.setattr(factories, "kernel", lambda params: {"fused": True})


@pytest.mark.usefixtures("gated")
def test_what_the_device_skips_is_noticed_with_the_log(tmp_path, caplog):
    run = nonfinite(tmp_path, on_nonfinite="skip", log_every_steps=5, checkpoint_every_steps=100)
    seen = weights_by_step(run)
    assert unequal(seen[3], seen[4]) == []
    assert unequal(seen[4], seen[5]) != []
    assert run.skipped == {4}
    images = next(loader().batches(4)).names
    assert f"not finite in the step after 4; images: {images[0]}, {images[1]}; skipped (1 of at most 3)" in caplog.text
    logged = [entry for entry in run.reporter.entries if names.TRAIN_LR in entry]
    assert [(entry["step"], names.TRAIN_LOSS in entry) for entry in logged] == [(5, False), (10, True)]


@pytest.mark.usefixtures("gated")
def test_what_the_device_skipped_is_noticed_before_a_stage_ends(tmp_path):
    """Nothing else is due by then, and the next stage has a stepper of its own."""
    of = objective()
    stages = [stage(of, 5, batches=loader(bad_steps=(4,))), stage(of, 5)]
    often = {"log_every_steps": 100, "validate_every_steps": 100, "checkpoint_every_steps": 100}
    with pytest.raises(NonFiniteError, match="in the step after 4; "):
        trainer(tmp_path, of, stages, **often).fit()


@pytest.mark.usefixtures("gated")
def test_no_checkpoint_is_written_of_a_step_that_failed_on_the_device(tmp_path):
    run = nonfinite(tmp_path, log_every_steps=100)
    with pytest.raises(NonFiniteError):
        run.fit()
    assert [path.name for path in run.checkpoints.steps()] == ["step_00000002.pt", "step_00000004.pt"]


@pytest.mark.usefixtures("gated")
def test_a_rollback_on_the_device_is_that_of_the_cpu(tmp_path):
    """It comes later there, when all else that was made since the checkpoint is made again."""
    run = nonfinite(tmp_path / "late", bad=(4,), on_nonfinite="rollback", log_every_steps=7, checkpoint_every_steps=3)
    run.fit()
    steps = [entry["step"] for entry in run.reporter.entries if names.TRAIN_LR in entry]
    assert (run.skipped, steps) == ({4}, [7, 10])
    soon = nonfinite(tmp_path / "soon", bad=(4,), on_nonfinite="rollback", log_every_steps=1, checkpoint_every_steps=3)
    soon.fit()
    weights = [dict(one.objective.codec.state_dict()) for one in (run, soon)]
    assert unequal(*weights) == []


# Workers, rehearsal, extension


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
    child.extend(parent.checkpoints)
    assert child.step == 6
    child.fit()
    straight = uninterrupted(tmp_path / "straight", stages=lambda of: [stage(of, 10)])
    assert unequal(child.state_dict()["codec"], straight.state_dict()["codec"]) == []
    assert load_checkpoint(tmp_path / "child" / "best.pt")["identity"] == "child"


def test_an_extension_must_be_longer(tmp_path):
    parent = uninterrupted(tmp_path / "parent", stages=lambda of: [stage(of, 6)])
    child = fresh(tmp_path / "child", stages=lambda of: [stage(of, 6)])
    with pytest.raises(ValueError, match="has 6 steps done; an extension to 6 steps needs fewer"):
        child.extend(parent.checkpoints)
    with pytest.raises(ValueError, match="has no checkpoint"):
        child.extend(Checkpoints(tmp_path / "nowhere", "other"))
