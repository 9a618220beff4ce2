"""Tails of entropy bottlenecks that are solved for, beside another solver and CompressAI's own loss of them."""

from copy import deepcopy
from functools import partial

import numpy as np
import pytest
import torch
from compressai.entropy_models import EntropyBottleneck
from scipy.optimize import brentq

import lic_exp
from lic_exp.models import tails
from lic_exp.models.compressai_coding import LONGEST_ROW
from lic_exp.models.tails import FARTHEST, LEAST_LOGIT, settled, solved, weights_for_coding

CHANNELS = 6


def bottleneck(seed=0, spread=0.5, shift=0.0):
    """Of some density, which is none that training has begun with."""
    torch.manual_seed(seed)
    made = EntropyBottleneck(CHANNELS)
    with torch.no_grad():
        for parameter in (*made.matrices, *made.factors):
            parameter.add_(spread * torch.randn_like(parameter))
        made.biases[0].add_(shift)
    return made


def logit_at(alone, channel, value):
    values = torch.zeros(CHANNELS, 1, 1, dtype=torch.float64)
    values[channel] = value
    with torch.no_grad():
        return float(alone._logits_cumulative(values, stop_gradient=True)[channel])


@pytest.mark.parametrize("seed", range(3))
def test_tails_are_those_of_another_solver(seed):
    made = bottleneck(seed)
    alone, found = deepcopy(made).double(), solved(made)
    target = float(made.target[-1])
    assert target == pytest.approx(np.log(2 / 1e-9 - 1), rel=1e-6)
    for channel in range(CHANNELS):
        for side, sign in enumerate((-1, 1)):
            off = partial(lambda value, of, goal: logit_at(alone, of, value) - goal, of=channel, goal=sign * target)
            assert float(found[channel, 0, side]) == pytest.approx(
                brentq(off, -FARTHEST, FARTHEST, xtol=1e-10), abs=1e-8
            )


@torch.no_grad()
def test_compressai_s_loss_of_solved_tails_is_nothing():
    made = bottleneck()
    assert float(made.loss()) > 100
    made.quantiles[..., ::2] = solved(made).float()
    logits = made._logits_cumulative(made.quantiles, stop_gradient=True)
    medians = float(logits[..., 1].abs().sum())
    assert float(made.loss()) == pytest.approx(medians, abs=1e-2)


def test_medians_stay_and_so_do_tails_that_do():
    made = bottleneck()
    with torch.no_grad():
        made.quantiles[..., ::2] = solved(made).float()
        made.quantiles[..., ::2] *= 1.2  # somewhere near, as training leaves them
        made.quantiles[2, 0, 2], made.quantiles[3, 0, 0] = 0.5, -500.0
        made.quantiles[..., 1] = 0.25
    found, before = settled(made), made.quantiles.detach().clone()
    other = torch.tensor([[(2, 2), (3, 0)].count((c, i)) for c in range(CHANNELS) for i in range(3)]).view(-1, 1, 3) > 0
    assert torch.equal(found[~other], before[~other])
    np.testing.assert_allclose(found[2, 0, 2].item(), solved(made)[2, 0, 1].item(), rtol=1e-6)
    np.testing.assert_allclose(found[3, 0, 0].item(), solved(made)[3, 0, 0].item(), rtol=1e-6)
    assert torch.equal(made.quantiles, before), "the bottleneck itself stays as it is"
    assert torch.equal(deepcopy(made).requires_grad_(False).quantiles, before)


def test_what_lies_outside_is_less_than_tables_can_tell():
    assert 2 / (1 + np.exp(LEAST_LOGIT)) < 2.0**-16
    for seed in range(3):
        made = bottleneck(seed, shift=2.0)
        with torch.no_grad():
            logits = made._logits_cumulative(settled(made), stop_gradient=True)
        assert (-logits[..., 0] >= LEAST_LOGIT - 1e-3).all()
        assert (logits[..., 2] >= LEAST_LOGIT - 1e-3).all()


def test_a_tail_on_the_other_side_of_its_median_begins_there():
    made = bottleneck()
    with torch.no_grad():
        made.quantiles[..., 1] = 2000.0
    low, high = solved(made)[:, 0].unbind(1)
    assert (high == 2000).all()
    assert (low < 0).all()


def test_rows_are_never_longer_than_can_be_coded():
    made = bottleneck()
    with torch.no_grad():
        made.matrices[0].sub_(12)  # so flat that its tails are far away
    low, high = solved(made)[:, 0].unbind(1)
    assert (high - low == 2 * FARTHEST).all()
    assert 2 * FARTHEST + 1 < LONGEST_ROW


def test_what_is_not_finite_stays():
    made = bottleneck()
    with torch.no_grad():
        made.quantiles[1, 0, 0] = torch.nan
        made.biases[0][2] = torch.nan
    before = made.quantiles.detach().clone()
    assert torch.equal(settled(made)[1:3].isnan(), before[1:3].isnan())
    assert torch.equal(settled(made)[2], before[2])


@torch.no_grad()
@pytest.mark.parametrize("name", ["factorized_tiny", "mean_scale_hyperprior_tiny", "joint_autoregressive_tiny"])
def test_a_codec_s_weights_for_coding_are_its_weights_but_for_tails(name):
    torch.manual_seed(0)
    codec = lic_exp.create_model(name).eval()
    before = {key: value.clone() for key, value in codec.state_dict().items()}
    kept = weights_for_coding(codec)
    assert {key for key in kept if not torch.equal(kept[key], before[key])} == {"entropy_bottleneck.quantiles"}
    assert all(torch.equal(value, before[key]) for key, value in codec.state_dict().items())
    assert torch.equal(kept["entropy_bottleneck.quantiles"][..., 1], before["entropy_bottleneck.quantiles"][..., 1])
    other = lic_exp.create_model(name).eval()
    other.load_state_dict(kept)
    x = torch.rand(1, 3, 64, 64)
    ours, theirs = codec(x), other(x)
    assert torch.equal(ours.x_hat, theirs.x_hat)
    assert all(torch.equal(ours.bits[key], theirs.bits[key]) for key in ours.bits)
    again = weights_for_coding(other)
    assert all(torch.equal(again[key], kept[key]) for key in kept), "once is enough"


def test_a_codec_without_bottlenecks_has_its_state_dict():
    codec = lic_exp.create_model("dhic_tiny")
    kept = codec.weights_for_coding()
    assert list(kept) == list(codec.state_dict())
    assert list(tails.bottlenecks(codec)) == []
