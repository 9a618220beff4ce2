"""When the inter-scale term runs away, and who stops it."""

import math
from functools import partial

import pytest
import torch
from inter_scale_parts import FAST, build, fixed, sizes, stepper, train
from training_parts import (
    loader,
    scales_objective,
    stage,
    trainer,
    unequal,
)

from lic_exp.divergence import DivergedError
from lic_exp.progress import Progress
from lic_exp.tracking import names
from lic_exp.training.rehearsal import BEGINNING

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


def run(folder, regularizer, steps, *, lr=2e-3, every=20, lmbda=0.01):
    """A trainer of the three scales at this learning rate, validated every so many steps."""
    of = scales_objective(regularizer, lmbda=lmbda)
    train_at = partial(FAST.func, **FAST.keywords | {"lr": lr})
    batches = loader(batch_size=4)
    made = stage(of, steps, factory=train_at, lr=lr, batches=batches)
    return trainer(folder, of, [made], validate_every_steps=every, checkpoint_every_steps=1000, log_every_steps=100)


@pytest.mark.parametrize(("changes", "lr"), [({}, 2e-3), ({"conv": "frozen_orthogonal", "top": "none"}, 4e-3)])
def test_the_literal_form_at_a_high_rate_diverges_and_is_stopped(tmp_path, changes, lr):
    made = run(tmp_path, build(start=20, **changes), 800, lr=lr)
    with pytest.raises(
        DivergedError, match=r"^diverged at step \d+ by the inter-scale term: the deviation of"
    ) as error:
        made.fit()
    assert str(error.value).startswith(f"diverged at step {error.value.step} ")
    assert 20 < error.value.step < 800
    assert made.reporter.entries[-1][names.TRAIN_DIVERGED] == 1


def test_the_literal_form_at_the_papers_rate_trains_on_with_a_negative_loss(tmp_path, caplog):
    """What the term does there is harm, not divergence: a negative loss is said once."""
    made = run(tmp_path, build(start=5, delta=10.0, guard_every_steps=1), 60, lr=1e-4, lmbda=1e-5)
    made.fit()
    told = [entry[names.TRAIN_LOSS] for entry in made.reporter.entries if names.TRAIN_LOSS in entry]
    assert told[-1] < 0
    warned = [record.getMessage() for record in caplog.records if "negative" in record.getMessage()]
    assert len(warned) == 1
    assert "which no rate and distortion can make" in warned[0]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("on_breach", ["stop", "switch_off"])
def test_latents_that_are_not_finite_are_no_latents(bad, on_breach, caplog):
    regularizer = build(on_breach=on_breach, top="none")
    coarse, fine = sizes((3, 2), (2, 4))
    regularizer.attach(fixed((coarse, fine)))
    regularizer.penalty(output := fixed((coarse, fine * bad))(torch.rand(1, 3, 16, 16)))
    weigh = partial(regularizer.weigh, torch.tensor(0.0), output, {"loss": torch.tensor(1.0)})
    if on_breach == "stop":
        with pytest.raises(DivergedError, match="the deviation of latent 2 is nan"):
            weigh()
    else:
        weigh()
        assert regularizer.off == 1
        assert "switched off at step 0: the deviation of latent 2 is nan" in caplog.text


def test_a_loss_that_is_not_finite_is_for_the_step_to_judge():
    regularizer = build(top="none")
    latents = tuple(z * math.nan for z in sizes((3, 2), (2, 4)))
    regularizer.attach(fixed(latents))
    penalty = regularizer.penalty(output := fixed(latents)(torch.rand(1, 3, 16, 16)))
    assert regularizer.weigh(penalty, output, {"loss": torch.tensor(math.nan)}).isnan()
    assert regularizer.guard.reference.tolist() == [0, 0], "no reference either"


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        ((4.0, 8.1, 8.2), 3),
        ((4.0, 8.0, 8.0, 8.0), None),
        ((4.0, 9.0, 7.9, 9.0, 7.0), None),
        ((4.0, 9.0, 3.0, 6.1, 5.0, 6.1, 6.2), 7),
        ((4.0, 9e9, 9e9), 3),
    ],
)
@pytest.mark.parametrize("on_breach", ["stop", "switch_off"])
def test_two_bad_validations_in_a_row_end_it(tmp_path, values, ends, on_breach, caplog):
    """Bad is above twice the best before."""
    made = run(tmp_path, build(on_breach=on_breach, delta=1e-6), len(values), every=1)
    given = iter(values)
    made.validate = lambda codec: {names.VAL_RD_LOSS: next(given)}
    if ends is None or on_breach == "switch_off":
        made.fit()
        assert ("switched off" in caplog.text) == (ends is not None)
    else:
        reason = rf"^diverged at step {ends} by the inter-scale term: val/rd_loss is .* above 2 times its best"
        with pytest.raises(DivergedError, match=reason):
            made.fit()


@pytest.mark.parametrize("changes", [{"start": 1000}, {"delta": 0.0}])
def test_validations_without_the_term_are_not_the_guards(tmp_path, changes):
    made = run(tmp_path, build(**changes), 3, every=1)
    given = iter((1.0, 5.0, 5.0))
    made.validate = lambda codec: {names.VAL_RD_LOSS: next(given)}
    made.fit()


def test_bad_validations_are_remembered_and_older_checkpoints_know_none():
    one, other = (scales_objective(build()) for _ in range(2))
    one.spectral_regularizers()[0].guard.bad_run(9.0, 1.0)
    state = one.regularizers.state_dict()
    other.regularizers.load_state_dict(state)
    assert other.spectral_regularizers()[0].guard.bad_run(9.0, 1.0).startswith("val/rd_loss is 9, and has been above")
    del state["spectral_reg.guard.bad_validations"]
    other.regularizers.load_state_dict(state)
    assert other.spectral_regularizers()[0].guard.bad_run(9.0, 1.0) is None


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
    of = scales_objective(build(on_breach="switch_off", start=2, guard_std_floor=1e-9, guard_std_factor=1e-3))
    terms = train(of, 12)[1]
    assert "the inter-scale term is switched off at step 10: the deviation of latent 1 is" in caplog.text
    assert terms[9]["spectral_reg_penalty"] < 0
    assert [each["spectral_reg_penalty"] for each in terms[10:]] == [0, 0]
    assert of.scalars()[names.INTER_WEIGHT] == 0
    assert of.regularizers.state_dict()["spectral_reg.off"] == 1


def test_a_rehearsal_leaves_nothing_behind():
    of = scales_objective(build(gradient_cap=0.1, gradient_every_steps=1))
    before = {name: value.clone() for name, value in of.state_dict().items()}
    stepper(of).try_out(next(loader().batches(0)), BEGINNING)
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
