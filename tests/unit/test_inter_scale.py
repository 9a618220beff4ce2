"""The inter-scale term: what it computes, whom it trains, when it runs away, and who stops it."""

import itertools
import logging
import math
from functools import cache, partial

import pytest
import torch
from training_parts import (
    CPU,
    SmallCodec,
    ThreeScales,
    everything,
    loader,
    optimizers,
    scales_objective,
    stage,
    step_options,
    trainer,
    unequal,
)

from lic_exp.divergence import DivergedError
from lic_exp.facts import CodecFacts
from lic_exp.launching.compose import compose
from lic_exp.launching.overrides import parse
from lic_exp.models.base import CodecOutput
from lic_exp.ops.haar import haar2
from lic_exp.optimizers import factories
from lic_exp.optimizers.groups import split_parameters
from lic_exp.progress import Progress
from lic_exp.spectral_reg.choices import NORMALISED, conflicts
from lic_exp.spectral_reg.distances import METRICS
from lic_exp.spectral_reg.inter_scale import InterScale
from lic_exp.spectral_reg.schedules import Onset
from lic_exp.tracking import names
from lic_exp.training.rng import seed_everything
from lic_exp.training.stepper import Stepper
from lic_exp.training.trainer import Preempted

BOUNDS = {"none": None, "hinge": 1e4, "log1p": None, "ratio": None}
CONVS = ("trained", "unit_norm", "frozen_random", "frozen_orthogonal", "least_squares", "adversarial")
DETACH = ("none", "coarse", "fine", "latents", "conv")
SOUND = ("inter_cos", "inter_norm", "inter_hinge", "inter_ratio", "inter_game")
FAST = partial(factories.adam, lr=2e-3, betas=[0.9, 0.999], eps=1e-8, weight_decay=0.0)


@cache
def options_of(name):
    return {
        key: value for key, value in compose(parse([f"spectral_reg={name}"]))["spectral_reg"].items() if key[0] != "_"
    }


def build(name="inter", **changes):
    """The option by its name, from step 0 on."""
    regularizer = InterScale(**options_of(name) | {"start": 0, "unit": "step"} | changes)
    regularizer.set_progress(Progress(0, 0, 0.0))
    return regularizer


def stepper(of, **changes):
    return Stepper(of.train(), optimizers(of, FAST, lr=2e-3), step_options(**changes), CPU)


def train(of, steps, *, first=0, batch_size=4, made=None):
    """The stepper after so many steps, and the terms of each."""
    if made is None:
        seed_everything(1)
        made = stepper(of)
    batches = loader(batch_size=batch_size).batches(first)
    terms = [made.step(next(batches), Progress(step, 0, 0.0)).terms for step in range(first, first + steps)]
    return made, [{name: float(value) for name, value in each.items()} for each in terms]


def legal(metric="l2_mean", bound="none", conv="trained", detach="none"):
    options = {"metric": metric, "bound": bound, "bound_at": BOUNDS[bound], "conv": conv, "detach": detach}
    rest = {"conv_bias": False, "sign": "subtract", "gradient_cap": None, "gradient_every_steps": 1}
    return options, not list(conflicts(options | rest))


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


def fixed(latents, views=None, **facts):
    """A codec that always gives these latents."""
    codec = SmallCodec()
    codec.facts = CodecFacts(downsampling_factor=16, latents=len(latents), **facts)
    codec.forward = lambda x: CodecOutput(x, {}, latents, views or {})
    return codec


def sizes(*widths_and_sides):
    return tuple(torch.randn(1, width, side, side) for width, side in widths_and_sides)


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


# Combinations


def run_combination(options, steps):
    """Ten steps or so; which parameters moved in the first."""
    of = scales_objective(
        build(**options, delta=1e-3, conv_bias=options["conv"] == "trained" and options["metric"] not in NORMALISED)
    )
    made = stepper(of)
    trainable = split_parameters(of.codec, of.regularizers).reg
    before = {name: value.clone() for name, value in trainable.items()}
    _, terms = train(of, steps, batch_size=2, made=made)
    assert all(math.isfinite(each["loss"]) for each in terms), options
    still = {name for name, value in before.items() if torch.equal(value, trainable[name])}
    assert not still, options
    learns = options["conv"] in ("trained", "unit_norm", "adversarial") and options["detach"] != "conv"
    assert bool(trainable) == learns, options
    if not learns and options["conv"] != "least_squares":
        assert not any(p.requires_grad for p in of.regularizers.parameters())


COMBINATIONS = [legal(*combination) for combination in itertools.product(METRICS, BOUNDS, CONVS, DETACH)]


def test_some_combinations_run():
    """Every metric with every bound, and every convolution with every detachment."""
    chosen = [legal(metric, bound) for metric, bound in itertools.product(METRICS, BOUNDS)]
    chosen += [legal("l1", "log1p", conv, detach) for conv, detach in itertools.product(CONVS, DETACH)]
    for options, allowed in chosen:
        if allowed:
            run_combination(options, 2)


@pytest.mark.slow
def test_all_legal_combinations_run_ten_steps():
    for options, allowed in COMBINATIONS:
        if allowed:
            run_combination(options, 10)


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
