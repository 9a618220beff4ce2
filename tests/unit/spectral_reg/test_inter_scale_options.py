"""Which options of the inter-scale term go together: those that do train, and the others say why not."""

import itertools
import math

import pytest
import torch
from inter_scale_parts import BOUNDS, CONVS, build, legal, stepper, train
from training_parts import loader, scales_objective

from lic_exp.component_schema import describe
from lic_exp.optimizers.groups import split_parameters
from lic_exp.spectral_reg.distances import METRICS
from lic_exp.spectral_reg.inter_scale import NORMALISED

DETACH = ("none", "coarse", "fine", "latents", "conv")


@pytest.fixture(scope="module")
def batches():
    """Those of ten steps: cutting them takes a tenth of a step."""
    return list(itertools.islice(loader(batch_size=2).batches(0), 10))


def run_combination(options, batches):
    """A step of each batch; which parameters moved in the first."""
    of = scales_objective(
        build(**options, delta=1e-3, conv_bias=options["conv"] == "trained" and options["metric"] not in NORMALISED)
    )
    made = stepper(of)
    trainable = split_parameters(of.codec, of.regularizers).reg
    before = {name: value.clone() for name, value in trainable.items()}
    _, terms = train(of, len(batches), made=made, batches=iter(batches))
    assert all(math.isfinite(each["loss"]) for each in terms), options
    still = {name for name, value in before.items() if torch.equal(value, trainable[name])}
    assert not still, options
    learns = options["conv"] in ("trained", "unit_norm", "adversarial") and options["detach"] != "conv"
    assert bool(trainable) == learns, options
    assert describe("lic_exp.spectral_reg.inter_scale.InterScale").learnable(options) == learns
    if not learns and options["conv"] != "least_squares":
        assert not any(p.requires_grad for p in of.regularizers.parameters())


COMBINATIONS = [legal(*combination) for combination in itertools.product(METRICS, BOUNDS, CONVS, DETACH)]


def test_some_combinations_run(batches):
    """Every metric with every bound, and every convolution with every detachment."""
    chosen = [legal(metric, bound) for metric, bound in itertools.product(METRICS, BOUNDS)]
    chosen += [legal("l1", "log1p", conv, detach) for conv, detach in itertools.product(CONVS, DETACH)]
    for options, allowed in chosen:
        if allowed:
            run_combination(options, batches[:2])


@pytest.mark.slow
def test_all_legal_combinations_run_ten_steps(batches):
    for options, allowed in COMBINATIONS:
        if allowed:
            run_combination(options, batches)


def test_all_others_are_refused_with_a_reason():
    refused = [options for options, allowed in COMBINATIONS if not allowed]
    assert 0 < len(refused) < len(COMBINATIONS) / 2
    for options in refused:
        with pytest.raises(ValueError, match=r"^(bound|conv|detach)=\w+ .*"):
            build(**options)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bound": "hinge"}, "bound=hinge needs bound_at"),
        ({"bound_at": 1.0}, "bound_at=1.0 is the hinge's"),
        ({"conv": "adversarial", "sign": "add"}, "both sides would minimise the distance"),
        ({"conv": "frozen_orthogonal", "conv_bias": True}, "has no bias: set conv_bias=false"),
        ({"metric": "cos", "conv_bias": True}, "metric=cos centres what the bias adds"),
        ({"gradient_cap": 0.1, "gradient_every_steps": None}, "give gradient_every_steps"),
        ({"ramp": 2.5}, "must be whole numbers of steps"),
        ({"unit": "share", "start": 1.0}, "are no shares of the training"),
    ],
)
def test_other_contradictions(changes, message):
    with pytest.raises(ValueError, match=message):
        build(**changes)
