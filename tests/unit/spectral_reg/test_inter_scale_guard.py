"""When the inter-scale term runs away, and who stops it."""

import math

import pytest
import torch
from inter_scale_parts import build, stepper, train
from training_parts import (
    loader,
    scales_objective,
    unequal,
)

from lic_exp.divergence import DivergedError
from lic_exp.progress import Progress
from lic_exp.tracking import names

SOUND = ("inter_cos", "inter_norm", "inter_hinge", "inter_ratio", "inter_game")


# The cap


@pytest.mark.parametrize("cap", [0.02, 1e3])
def test_the_cap_holds_at_the_latents(cap):
    of = scales_objective(build(delta=1.0, gradient_cap=cap, gradient_every_steps=4)).train()
    regularizer = of.spectral_regularizers()[0]
    made = stepper(of)
    _, terms = train(of, 1, first=3, made=made)
    assert terms[0]["spectral_reg_penalty"] == 0, "nothing was measured yet"
    train(of, 1, first=4, made=made)
    ratio, factor = float(regularizer.gradients.ratio), float(regularizer.gradients.factor)
    assert factor * ratio <= cap * (1 + 1e-6)
    assert factor == (1 if cap > 1 else pytest.approx(cap / ratio))
    train(of, 2, first=5, made=made)
    assert float(regularizer.gradients.factor) == factor, "held in between"


def test_the_ratio_is_that_of_the_gradients():
    of = scales_objective(build()).train()
    of.set_progress(Progress(0, 0, 0.0))
    x = torch.rand(2, 3, 16, 16)
    torch.manual_seed(5)
    of(x)
    reported = of.scalars()[names.INTER_GRADIENT_RATIO]
    torch.manual_seed(5)
    output = of.codec(x)
    regularizer = of.spectral_regularizers()[0]
    parts = [regularizer.penalty(output), of.criterion(output, x)["loss"]]
    norms = []
    for scalar in parts:
        gradients = torch.autograd.grad(scalar, output.latents, retain_graph=True)
        norms.append(math.sqrt(sum(float(g.square().sum()) for g in gradients)))
    assert reported == pytest.approx(norms[0] / norms[1], rel=1e-4)


# The guard


@pytest.mark.parametrize(
    ("changes", "grown"),
    [
        ({"conv": "frozen_orthogonal", "top": "none"}, "latents"),
        ({"detach": "latents"}, "conv"),
        ({}, "both"),
    ],
)
def test_the_literal_form_diverges_and_is_stopped(changes, grown):
    """Through the latents with any fixed convolution, and through a trained one without any help of the latents."""
    of = scales_objective(build(start=20, **changes)).train()
    made, _ = train(of, 20)
    before = of.scalars()
    with pytest.raises(DivergedError, match=r"^diverged at step \d+ by the inter-scale term: the loss is neg") as error:
        train(of, 800, first=20, made=made)
    assert str(error.value).startswith(f"diverged at step {error.value.step} ")
    after = of.scalars()
    growth = {key: after[key] / before[key] for key in (names.latent_std(1), names.inter_conv_norm(2))}
    assert (growth[names.inter_conv_norm(2)] > 1.1) == (grown != "latents")
    assert (growth[names.latent_std(1)] > 1.3) == (grown != "conv"), growth


def test_a_deviation_that_grows_stops_the_run():
    of = scales_objective(
        build(start=4, conv="frozen_orthogonal", guard_std_factor=1.5, guard_std_floor=1e-3, guard_every_steps=2)
    )
    with pytest.raises(
        DivergedError, match=r"the deviation of latent \d is [\d.]+; it was [\d.]+ before the term began"
    ):
        train(of, 300)


def test_a_bounded_term_may_exceed_a_small_loss():
    """At low rates R + lmbda D is a few tenths, less than delta times what three pairs can give."""
    of = scales_objective(build("inter_cos", delta=1e4, guard_every_steps=1))
    assert all(each["loss"] < 0 for each in train(of, 5)[1])


def test_the_reference_is_the_deviation_before_the_start():
    of = scales_objective(build(start=4, guard_every_steps=2))
    made, _ = train(of, 3)
    before = [of.scalars()[names.latent_std(scale)] for scale in (1, 2, 3)]
    train(of, 6, first=3, made=made)
    assert of.spectral_regularizers()[0].guard.reference.tolist() == pytest.approx(before)


def test_switching_off_instead(caplog):
    of = scales_objective(build(on_breach="switch_off", delta=1e4, guard_every_steps=1))
    terms = train(of, 3)[1]
    assert "the inter-scale term is switched off at step 0: the loss is negative" in caplog.text
    assert [each["spectral_reg_penalty"] for each in terms] == [0, 0, 0]
    assert of.scalars()[names.INTER_WEIGHT] == 0
    assert of.regularizers.state_dict()["spectral_reg.off"] == 1


def test_a_rehearsal_leaves_nothing_behind():
    of = scales_objective(build(gradient_cap=0.1, gradient_every_steps=1))
    before = {name: value.clone() for name, value in of.state_dict().items()}
    stepper(of).try_out(next(loader().batches(0)))
    assert unequal(before, dict(of.state_dict())) == []


@pytest.fixture(scope="module")
def silent_bpp():
    """Mean bpp of the last 100 of 2000 steps that the term leaves alone."""
    return tail_bpp(train(scales_objective(build(delta=0.0)), 2000)[1])


def tail_bpp(terms):
    return sum(each["bpp_loss"] for each in terms[-100:]) / 100


@pytest.mark.slow
@pytest.mark.parametrize("name", SOUND)
def test_sound_presets_stay_finite_for_2000_steps(name, silent_bpp):
    """The guard's eye for growth is shut, so that it is the form that holds."""
    of = scales_objective(build(name, start=100, guard_std_factor=1e9))
    _, terms = train(of, 2000)
    after = of.scalars()
    assert all(math.isfinite(value) for value in after.values())
    assert min(each["loss"] for each in terms) > 0
    assert max(after[names.latent_std(scale)] for scale in (1, 2, 3)) < 4
    assert tail_bpp(terms) < 1.1 * silent_bpp
