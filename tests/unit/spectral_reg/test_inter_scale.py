"""The inter-scale term: what it computes of which latents, when, whom it trains, and what it reports."""

import logging
import math

import pytest
import torch
from inter_scale_parts import CONVS, build, fixed, options_of, sizes, train
from training_parts import (
    ThreeScales,
    everything,
    scales_objective,
    stage,
    trainer,
    unequal,
)

from lic_exp.ops.haar import haar2
from lic_exp.progress import Progress
from lic_exp.spectral_reg.distances import METRICS
from lic_exp.spectral_reg.inter_scale import InterScale
from lic_exp.spectral_reg.schedules import Onset
from lic_exp.tracking import names
from lic_exp.training.preempted import Preempted

# Eq. 6


def test_it_is_equation_6():
    codec, regularizer = ThreeScales(), build()
    regularizer.attach(codec)
    output = codec.eval()(torch.rand(2, 3, 16, 16))
    penalty = regularizer.penalty(output)
    coarser = (codec.em_bias.expand(2, -1, 1, 1), *output.latents[:2])
    expected = 0
    for pair, (coarse, fine) in enumerate(zip(coarser, output.latents, strict=True), 1):
        conv = regularizer.aligners[str(pair)].weight[:, :, None, None]
        expected -= 0.1 * torch.nn.functional.mse_loss(torch.nn.functional.conv2d(haar2(fine), conv), coarse)
    torch.testing.assert_close(penalty, expected)
    paper = InterScale(**options_of("inter"))
    assert (paper.onset, paper.delta) == (Onset(100, 0, "epoch"), 0.1)


def test_add_is_the_same_with_the_other_sign():
    codec = ThreeScales()
    output = codec(torch.rand(2, 3, 16, 16))
    values = []
    for sign in ("add", "subtract"):
        torch.manual_seed(0)
        regularizer = build(sign=sign)
        regularizer.attach(codec)
        values.append(regularizer.penalty(output))
    assert values[0] == -values[1] > 0


def test_it_is_float32_under_autocast():
    of = scales_objective(build()).train()
    of.set_progress(Progress(0, 0, 0.0))
    with torch.autocast("cpu", torch.bfloat16):
        terms = of(torch.rand(2, 3, 16, 16))
    assert terms["spectral_reg_penalty"].dtype == torch.float32


# The latents


@pytest.mark.parametrize(
    ("how", "widths"), [("last", {"2": (4, 12), "3": (2, 20)}), ("concatenate", {"2": (7, 24), "3": (6, 20)})]
)
def test_several_latents_at_one_resolution(how, widths):
    codec = fixed(sizes((3, 2), (4, 2), (4, 4), (1, 4), (1, 4), (5, 8)))
    regularizer = build(same_resolution=how, alignment="haar")
    regularizer.attach(codec)
    shapes = {pair: tuple(aligner.weight.shape) for pair, aligner in regularizer.aligners.items()}
    fine_width = 1 if how == "last" else 6
    coarse_width = 4 if how == "last" else 7
    assert shapes == {"2": (coarse_width, 4 * fine_width), "3": (fine_width, 20)}


def test_odd_sizes_work():
    codec = fixed(sizes((3, 3), (2, 5), (1, 9)))
    regularizer = build()
    regularizer.attach(codec)
    assert regularizer.penalty(codec(torch.rand(1, 3, 16, 16))).isfinite()


@pytest.mark.parametrize(
    ("latents", "message"),
    [
        (sizes((3, 4), (2, 4)), r"all latents of this codec have one resolution, \(4, 4\)"),
        (sizes((3, 2), (2, 8)), r"must differ by a factor of 2 in size; this codec's are \[\(2, 2\), \(8, 8\)\]"),
    ],
)
def test_what_is_no_pyramid_is_refused(latents, message):
    with pytest.raises(ValueError, match=message):
        build().attach(fixed(latents))


def test_a_view_that_the_codec_lacks_is_refused():
    with pytest.raises(
        ValueError, match="view=innovation needs the codec's latent view 'prior_mean'; it has: descaled"
    ):
        build(view="innovation").attach(fixed(sizes((3, 2), (2, 4))))


@pytest.mark.parametrize("view", ["scaled", "mean", "innovation"])
def test_every_view_reaches_the_codec(view):
    of = scales_objective(build(view=view)).train()
    terms = train(of, 3)[1]
    assert terms[0]["spectral_reg_penalty"] < 0
    assert of.scalars()[names.INTER_GRADIENT_RATIO] > 0


def test_the_log_tells_of_what_is_left_out(caplog):
    caplog.set_level(logging.WARNING, "lic_exp.spectral_reg")
    build().attach(ThreeScales(bias=False))
    build(metric="cos").attach(ThreeScales())
    build(top="none").attach(fixed(sizes((3, 2), (2, 4)), nested_latents=True))
    found = [record.getMessage() for record in caplog.records]
    assert len(found) == 3
    assert "ThreeScales has no learned bias, so its coarsest latent is compared with nothing" in found[0]
    assert "constant over an image" in found[1]
    assert "nested samples of one latent" in found[2]


@pytest.mark.parametrize("conv", CONVS)
def test_who_gets_the_terms_gradient(conv):
    """The codec gets that of -delta d; the predictor of a game gets that of +d, whatever delta is."""
    of = scales_objective(build(conv=conv, top="none")).train()
    of.set_progress(Progress(0, 0, 0.0))
    regularizer = of.spectral_regularizers()[0]
    output = of.codec(torch.rand(2, 3, 16, 16))
    loss = 100 + output.x_hat.square().mean()
    penalty = regularizer.penalty(output)
    added = regularizer.weigh(penalty, output, {"loss": loss})
    assert torch.equal(added, penalty)
    added.backward()
    assert of.codec.g_a[0].weight.grad.norm() > 0
    if conv in ("trained", "adversarial"):
        aligner = regularizer.aligners["2"]
        fine, coarse = output.latents[1].detach(), output.latents[0].detach()
        (gradient,) = torch.autograd.grad(METRICS["l2_mean"](coarse, aligner(fine, coarse)), aligner.weight)
        torch.testing.assert_close(aligner.weight.grad, gradient if conv == "adversarial" else -0.1 * gradient)


def test_what_is_detached_gets_no_gradient():
    for detach, reached in {"coarse": (False, True), "fine": (True, False), "latents": (False, False)}.items():
        z = [x.requires_grad_() for x in sizes((3, 2), (2, 4))]
        codec = fixed(tuple(z))
        regularizer = build(detach=detach)
        regularizer.attach(codec)
        regularizer.penalty(codec(torch.rand(1, 3, 16, 16))).backward()
        assert tuple(x.grad is not None and bool(x.grad.any()) for x in z) == reached


# When


def test_the_ramp():
    steps, shares = Onset(10, 4, "step"), Onset(0.5, 0.2, "share")
    assert [steps.factor(now) for now in (0, 9)] == [None, None]
    assert [steps.factor(now) for now in (10, 12, 14, 99)] == pytest.approx([0.2, 0.6, 1, 1])
    assert Onset(10, 0, "epoch").factor(10) == 1
    assert shares.factor(0.4) is None
    assert [shares.factor(now) for now in (0.5, 0.6, 0.7, 0.99)] == pytest.approx([0, 0.5, 1, 1])


def test_until_it_begins_training_is_the_baselines_bit_by_bit():
    plain, later = scales_objective(None), scales_objective(build(start=5))
    terms, terms_later = train(plain, 8)[1], train(later, 8)[1]
    assert [each["loss"] for each in terms[:5]] == [each["loss"] for each in terms_later[:5]]
    assert "spectral_reg_penalty" not in terms_later[4]
    assert terms_later[5]["spectral_reg_penalty"] < 0
    assert terms[6]["loss"] != terms_later[6]["loss"] - terms_later[6]["spectral_reg_penalty"]


@pytest.mark.parametrize("conv", CONVS)
def test_weight_0_reports_and_changes_nothing(conv):
    plain, silent = scales_objective(None), scales_objective(build(delta=0.0, conv=conv))
    assert [each["loss"] for each in train(plain, 8)[1]] == [each["loss"] for each in train(silent, 8)[1]]
    assert unequal(plain.codec.state_dict(), dict(silent.codec.state_dict())) == []
    reported = silent.scalars()
    assert reported[names.INTER_DISTANCE] > 0
    assert reported[names.INTER_WEIGHT] == reported[names.INTER_SHARE] == reported[names.INTER_GRADIENT_RATIO] == 0


def test_in_eval_it_is_absent_and_a_codec_has_none_of_its_keys():
    of, plain = scales_objective(build()).eval(), scales_objective(None)
    of.set_progress(Progress(0, 0, 0.0))
    output = of.codec(torch.rand(2, 3, 16, 16))
    assert of.spectral_regularizers()[0].penalty(output) is None
    assert of.codec.state_dict().keys() == plain.codec.state_dict().keys()
    assert "spectral_reg_penalty" not in of(torch.rand(2, 3, 16, 16))


def test_it_must_be_attached():
    with pytest.raises(RuntimeError, match=r"attach\(codec\) must come before the first batch"):
        build().penalty(ThreeScales()(torch.rand(1, 3, 16, 16)))


# What is reported


def test_what_is_logged():
    of = scales_objective(build(start=2))
    made, _ = train(of, 1)
    early = of.scalars()
    assert early[names.SPECTRAL_PHASE] == names.PHASES["baseline"]
    assert early[names.INTER_DISTANCE] > 0, "also before the start"
    assert early[names.INTER_WEIGHT] == early[names.INTER_SHARE] == 0
    _, terms = train(of, 3, first=1, made=made)
    late = of.scalars()
    assert late.keys() == early.keys()
    assert all(math.isfinite(value) for value in late.values())
    assert late[names.SPECTRAL_PHASE] == names.PHASES["phase2_inter"]
    assert late[names.INTER_WEIGHT] == -0.1
    assert late[names.INTER_DISTANCE] == pytest.approx(sum(late[names.inter_distance(pair)] for pair in (1, 2, 3)))
    penalty = terms[-1]["spectral_reg_penalty"]
    assert penalty == pytest.approx(-0.1 * late[names.INTER_DISTANCE])
    assert late[names.INTER_SHARE] == pytest.approx(penalty / (terms[-1]["loss"] - penalty))
    per_scale = (names.latent_std, names.latent_mean_share, names.latent_range)
    assert {name(scale) for name in per_scale for scale in (1, 2, 3)} < set(late)
    assert {names.spectral_overlap(2), names.spectral_overlap(3)} < set(late)
    assert {f"z{scale}_bpp" for scale in (1, 2, 3)} < set(terms[-1])


# Resume


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"conv": "adversarial", "metric": "cos2", "top": "none"},
        {"conv": "unit_norm", "gradient_cap": 0.05, "gradient_every_steps": 4},
        {"conv": "frozen_random", "view": "innovation", "bound": "ratio"},
    ],
)
def test_resume_in_the_middle_of_the_ramp_is_exact(tmp_path, changes):
    def fresh(folder, stop_at=None):
        of = scales_objective(build(start=2, ramp=6, guard_every_steps=3, **changes))
        made = trainer(folder, of, [stage(of, 10)], should_stop=lambda: "stop" if made.step == stop_at else None)
        return made

    whole = fresh(tmp_path / "whole")
    whole.fit()
    with pytest.raises(Preempted):
        fresh(tmp_path / "parts", stop_at=5).fit()
    resumed = fresh(tmp_path / "parts")
    assert resumed.resume()
    assert resumed.step == 5
    resumed.fit()
    left, right = everything(whole), everything(resumed)
    # A reporter of its own, which has seen the second part alone.
    left["notes"], left["recorded"], right["recorded"] = left["notes"][-len(right["notes"]) :], 0, 0
    assert unequal(left, right) == []
