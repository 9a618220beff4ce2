"""Trainings of the usual parts from beginning to end: straight, interrupted, and with numbers that are not finite."""

from copy import deepcopy
from functools import partial

import pytest
from training_parts import Gain, adam, constant, everything, loader, objective, stage, trainer, unequal

from lic_exp.optimizers import factories
from lic_exp.optimizers.cautious_adam import CautiousAdam
from lic_exp.optimizers.muon import Muon
from lic_exp.optimizers.schedules import Cosine, MultiStep, Plateau
from lic_exp.optimizers.soap import SOAP
from lic_exp.training.checkpoint import load_checkpoint
from lic_exp.training.preempted import Preempted
from lic_exp.training.rng import seed_everything

FACTORIES = {
    "adam": adam,
    "adamw": partial(factories.adamw, lr=1e-3, betas=[0.9, 0.999], eps=1e-8, weight_decay=0.1),
    "cautious_adam": partial(CautiousAdam, lr=1e-3, betas=[0.9, 0.999], eps=1e-8, weight_decay=0.1, max_rescale=10.0),
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
    "soap": partial(
        SOAP,
        lr=1e-3,
        adam_lr=1e-3,
        betas=[0.9, 0.95],
        shampoo_beta=0.9,
        eps=1e-8,
        weight_decay=0.1,
        precondition_every_steps=3,
        max_precondition_dim=40,
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


TWO = {"keep": False, "reset": True}


def two_stages(reset):
    """5 steps of 2 crops of 16 pixels at 1e-3, then 5 of 3 crops of 24 pixels at 1e-4; epochs of 3 and 2 steps."""
    slow = partial(factories.adam, lr=1e-4, betas=[0.9, 0.999], eps=1e-8, weight_decay=0.0)
    return lambda of: [
        stage(of, 5),
        stage(of, 5, batches=loader(batch_size=3, crop_size=24), factory=slow, lr=1e-4, reset=reset),
    ]


def nonfinite(folder, *, bad=(4,), steps=10, **more):
    of = objective(regularizer=Gain())
    return trainer(folder, of, [stage(of, steps, batches=loader(bad_steps=bad))], **more)


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
