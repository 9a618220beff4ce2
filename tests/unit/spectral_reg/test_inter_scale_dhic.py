"""The inter-scale term on a real hierarchy: the small DHIC with its range of rates."""

import itertools
import math
import random
from functools import cache, partial

import pytest
import torch
from inter_scale_parts import conflicts
from training_parts import CPU, SEED, optimizers, step_options

import lic_exp
from lic_exp.config.compose import compose
from lic_exp.config.overrides import parse
from lic_exp.data.loading import Batch
from lic_exp.optimizers import factories
from lic_exp.progress import Progress
from lic_exp.spectral_reg.distances import METRICS
from lic_exp.spectral_reg.inter_scale import InterScale
from lic_exp.training.objective import Objective
from lic_exp.training.rng import seed_everything
from lic_exp.training.stepper import Stepper
from lic_exp.training.variable_rate import VariableRate

CHOICES = {
    "metric": tuple(METRICS),
    "bound": ("none", "hinge", "log1p", "ratio"),
    "conv": ("trained", "unit_norm", "frozen_random", "frozen_orthogonal", "least_squares", "adversarial"),
    "detach": ("none", "coarse", "fine", "latents", "conv"),
    "view": ("descaled", "scaled", "mean", "innovation"),
    "alignment": ("haar", "low_band", "average_pool", "strided_conv"),
    "top": ("bias", "none"),
    "sign": ("subtract", "add"),
}
FAST = partial(factories.adam, lr=1e-4, betas=[0.9, 0.999], eps=1e-8, weight_decay=0.0)


@cache
def usual():
    return {k: v for k, v in compose(parse(["spectral_reg=inter"]))["spectral_reg"].items() if k[0] != "_"}


def completed(chosen):
    """All options of `spectral_reg=inter` with these, from step 0 on and too weak to run away in ten steps."""
    bound_at = 1.0 if chosen["bound"] == "hinge" else None
    quiet = {"start": 0, "unit": "step", "delta": 1e-4, "gradient_every_steps": 5, "guard_every_steps": 5}
    return usual() | quiet | chosen | {"bound_at": bound_at}


def pairs_of(chosen):
    return set(itertools.combinations(sorted(chosen.items()), 2))


def pairwise():
    """Legal combinations in which every legal pair of choices stands together, nearly as few as can be."""
    drawn = random.Random(0)
    chosen = [{name: drawn.choice(values) for name, values in CHOICES.items()} for _ in range(3000)]
    legal = [(each, pairs_of(each)) for each in chosen if not conflicts(completed(each))]
    wanted = set().union(*(pairs for _, pairs in legal))
    found = []
    while wanted:
        best, pairs = max(drawn.sample(legal, 200), key=lambda each: len(each[1] & wanted))
        if pairs & wanted:
            found.append(best)
            wanted -= pairs
    return found


@pytest.mark.slow
def test_pairwise_combinations_run_ten_steps():
    combinations = pairwise()
    assert len(combinations) >= len(CHOICES["metric"]) * len(CHOICES["conv"])
    for chosen in combinations:
        seed_everything(0)
        codec = lic_exp.create_model("dhic_tiny")
        regularizer = InterScale(**completed(chosen))
        regularizer.attach(codec)
        criterion = VariableRate(
            lmbda_min=0.001, lmbda_max=0.06, drawn_qualities="continuous", balance=0.0, validation_rates=2
        )
        of = Objective(codec, criterion, {"spectral_reg": regularizer}).train()
        made = Stepper(of, optimizers(of, FAST, lr=1e-4), step_options(), CPU, SEED)
        for step in range(10):
            terms = made.step(Batch(torch.rand(1, 3, 64, 64), ["a"]), Progress(step, 0, 0.0)).terms
            assert math.isfinite(float(terms["loss"])), chosen
        assert "spectral_reg_penalty" in terms, chosen
