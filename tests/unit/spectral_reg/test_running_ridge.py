"""The ridge on running moments tells redundant latents from independent ones, of any size, and has a gradient."""

import itertools

import pytest
import torch
from training_parts import unequal

from lic_exp.ops.haar import haar2
from lic_exp.spectral_reg.running_ridge import RunningRidge

CHANNELS, BATCH = 24, 8
MIXED = torch.linalg.qr(torch.randn(4 * CHANNELS, 4 * CHANNELS, generator=torch.Generator().manual_seed(9)))[0]


def pair(positions, redundancy, *, rotated=False, scale=1.0, offset=0.0, dtype=torch.float32):
    """A coarse and a finer latent (8, 24, ...); so much of the coarse one's variance is a linear map of the finer."""
    side = round(positions**0.5)
    fine = torch.randn(BATCH, CHANNELS, 2 * side, 2 * side, dtype=dtype)
    bands = haar2(fine)
    told = torch.einsum("ck,bkhw->bchw", MIXED[:CHANNELS].to(dtype), bands) if rotated else bands[:, :CHANNELS]
    coarse = redundancy**0.5 * told + (1 - redundancy) ** 0.5 * torch.randn_like(told)
    return scale * coarse + offset, scale * fine + offset


def learnt(positions, redundancy, *, batches=150, refit_every=1, **kind):
    """A ridge after so many batches."""
    torch.manual_seed(0)
    dtype = kind.get("dtype", torch.float32)
    ridge = RunningRidge(4 * CHANNELS, CHANNELS, decay=0.98, ridge=0.01, dtype=dtype)
    for batch in range(batches):
        coarse, fine = pair(positions, redundancy, **kind)
        ridge.learn(coarse, haar2(fine))
        if (batch + 1) % refit_every == 0:
            ridge.fit()
    return ridge


def foretold(ridge, coarse, fine):
    return (1 - ridge.left_over(coarse, haar2(fine))).mean()


def next_batch(positions, redundancy, *, refit_every=1, **kind):
    """P of the batch after those learnt from."""
    ridge = learnt(positions, redundancy, refit_every=refit_every, **kind)
    return float(foretold(ridge, *pair(positions, redundancy, **kind)))


@pytest.mark.parametrize(("positions", "apart"), [(1, 0.8), (4, 0.9), (16, 0.9), (64, 0.9)])
@pytest.mark.parametrize("rotated", [False, True])
def test_redundant_and_independent_latents_are_apart(positions, apart, rotated):
    redundant, independent = (next_batch(positions, redundancy, rotated=rotated) for redundancy in (1.0, 0.0))
    assert redundant - independent >= apart
    assert 0 <= independent < 0.15 < redundant <= 1


@pytest.mark.parametrize(("scale", "offset"), [(5.0, 0.0), (1.0, 100.0), (0.3, -7.0)])
def test_neither_size_nor_offset_matters(scale, offset):
    assert next_batch(4, 1.0, scale=scale, offset=offset) > 0.95
    assert next_batch(4, 0.0, scale=scale, offset=offset) < 0.05


@pytest.mark.parametrize("redundancy", [0.25, 0.5, 0.9])
def test_it_is_the_redundant_share(redundancy):
    assert next_batch(64, redundancy) == pytest.approx(redundancy, abs=0.03)


def test_seldom_fits_tell_as_much():
    assert next_batch(4, 1.0, refit_every=10) > 0.95


@pytest.mark.parametrize("redundancy", [0.5, 0.9])
@pytest.mark.parametrize("positions", [4, 64])
def test_a_gradient_step_lowers_it(positions, redundancy):
    """By either latent and by both, along the gradient, with the map as it is."""
    ridge = learnt(positions, redundancy)
    z = [x.requires_grad_() for x in pair(positions, redundancy)]
    before = foretold(ridge, *z)
    gradients = torch.autograd.grad(before, z)
    before = before.detach()
    for moved in itertools.product((0.0, 1.0), repeat=2):
        if any(moved):
            after = foretold(
                ridge, *(x - 0.3 * on * g / g.norm() for x, g, on in zip(z, gradients, moved, strict=True))
            )
            assert float(after.detach()) < float(before) - 1e-4


@pytest.mark.parametrize("redundancy", [0.0, 0.5, 0.9, 1.0])
def test_the_gradient_is_that_of_finite_differences(redundancy):
    ridge = learnt(4, redundancy, dtype=torch.float64)
    coarse, fine = pair(4, redundancy, dtype=torch.float64)
    z = [x[:, :2].clone().requires_grad_() for x in (coarse, fine)]

    def value(some_coarse, some_fine):
        whole = (torch.cat((some_coarse, coarse[:, 2:]), 1), torch.cat((some_fine, fine[:, 2:]), 1))
        return foretold(ridge, *whole)

    assert torch.autograd.gradcheck(value, z, eps=1e-6, atol=1e-9, rtol=1e-5)


def test_the_map_gets_no_gradient():
    ridge = learnt(4, 0.5, batches=5)
    assert not any(buffer.requires_grad for buffer in ridge.buffers())
    assert not list(ridge.parameters())


def test_nothing_is_foretold_before_the_first_fit_nor_of_a_silent_channel():
    fresh = RunningRidge(4 * CHANNELS, CHANNELS, decay=0.98, ridge=0.01, dtype=torch.float32)
    coarse, fine = pair(4, 1.0)
    assert float(foretold(fresh, coarse, fine)) == 0
    silent = learnt(4, 1.0)
    assert float(foretold(silent, torch.zeros_like(coarse), fine)) == 0


def test_a_batch_of_one_position_is_left_out():
    ridge = learnt(1, 1.0, batches=20)
    before = {name: value.clone() for name, value in ridge.state_dict().items()}
    coarse, fine = pair(1, 1.0)
    ridge.learn(coarse[:1], haar2(fine[:1]))
    assert unequal(before, dict(ridge.state_dict())) == []
    assert float(foretold(ridge, coarse[:1], fine[:1])) == 0


def test_numbers_that_are_not_finite_raise_nothing():
    """The step that made them is the one to say so."""
    ridge = learnt(4, 1.0, batches=5)
    coarse, fine = pair(4, 1.0)
    ridge.learn(coarse * torch.nan, haar2(fine) * torch.inf)
    ridge.fit()
    assert not foretold(ridge, coarse, fine).isfinite()
