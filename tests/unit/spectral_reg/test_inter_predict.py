"""The predictability of adjacent latents as a term of the loss: its value, whom it moves, when, and what is kept."""

import math

import pytest
import torch
from inter_scale_parts import build, fixed, sizes, stepper, train
from training_parts import Gain, ThreeScales, everything, loader, scales_objective, stage, trainer, unequal

from lic_exp.ops.haar import haar2
from lic_exp.progress import Progress
from lic_exp.tracking import names
from lic_exp.training.preempted import Preempted
from lic_exp.training.rehearsal import BEGINNING


def predicting(**changes):
    return build("inter_predict", **changes)


def redundant(redundancy, latents=3):
    """Latents of 4 channels and 2, 4, ... positions a side, each so far the low band of the next finer one."""
    z = [torch.randn(8, 4, 2**latents, 2**latents)]
    for _ in range(latents - 1):
        low = haar2(z[0])[:, :4]
        z.insert(0, redundancy**0.5 * low + (1 - redundancy) ** 0.5 * torch.randn_like(low))
    return tuple(z)


def shown(regularizer, redundancy, batches=60):
    """The penalty, with its graph, and the latents of the batch after so many."""
    torch.manual_seed(0)
    regularizer.attach(fixed(redundant(redundancy)))
    regularizer.train()
    for step in range(batches):
        regularizer.set_progress(Progress(step, 0, 0.0))
        penalty = regularizer.penalty(fixed(redundant(redundancy))(torch.rand(1, 3, 16, 16)))
    z = tuple(x.requires_grad_() for x in redundant(redundancy))
    regularizer.set_progress(Progress(batches, 0, 0.0))
    penalty = regularizer.penalty(fixed(z)(torch.rand(1, 3, 16, 16)))
    return penalty, z


@pytest.mark.parametrize(("redundancy", "low", "high"), [(1.0, 0.95, 1), (0.5, 0.4, 0.55), (0.0, 0, 0.08)])
@pytest.mark.parametrize(("sign", "direction"), [("subtract", 1), ("add", -1)])
def test_it_is_the_sum_over_the_pairs(redundancy, low, high, sign, direction):
    regularizer = predicting(sign=sign)
    penalty, _ = shown(regularizer, redundancy)
    told = regularizer.scalars()
    parts = [told[names.inter_predict(pair)] for pair in (2, 3)]
    assert all(low <= part <= high for part in parts), parts
    assert told[names.INTER_PREDICT] == pytest.approx(sum(parts))
    assert float(penalty.detach()) == pytest.approx(direction * 0.1 * sum(parts))


@pytest.mark.parametrize("redundancy", [0.5, 0.9, 1.0])
def test_nats_are_the_information_of_the_same_channels(redundancy):
    regularizer = predicting(form="nats")
    penalty, z = shown(regularizer, redundancy)
    value = sum(
        -0.5 * regularizer.predictors[str(pair)].left_over(z[pair - 2], haar2(z[pair - 1])).log().mean()
        for pair in (2, 3)
    )
    # The map has learnt from the batch since: one of sixty.
    assert float(penalty.detach()) == pytest.approx(0.1 * float(value.detach()), rel=0.15)
    assert torch.autograd.grad(penalty, z)[1].norm() > 1e-4


@pytest.mark.parametrize("redundancy", [0.5, 0.9])
@pytest.mark.parametrize(("sign", "falls"), [("subtract", True), ("add", False)])
def test_a_step_along_the_gradient(redundancy, sign, falls):
    """Downhill in the loss there is less redundancy, and with the control's sign more."""
    regularizer = predicting(sign=sign)
    penalty, z = shown(regularizer, redundancy)
    before = regularizer.scalars()[names.INTER_PREDICT]
    moved = tuple((x - 0.5 * g / g.norm()).detach() for x, g in zip(z, torch.autograd.grad(penalty, z), strict=True))
    regularizer.penalty(fixed(moved)(torch.rand(1, 3, 16, 16)))
    after = regularizer.scalars()[names.INTER_PREDICT]
    assert (after < before - 1e-3) == falls


@pytest.mark.parametrize("form", ["share", "nats"])
def test_training_with_it_makes_latents_less_predictable(form):
    """ThreeScales sees one image at three sizes, so that its latents start as redundant as can be."""
    found = {}
    for delta in (0.0, 3.0):
        of = scales_objective(predicting(delta=delta, form=form))
        train(of, 80)
        found[delta] = of.scalars()[names.INTER_PREDICT]
    assert found[3.0] < 0.8 * found[0.0], found


def test_weight_0_is_the_naive_run_bit_by_bit():
    plain, silent = scales_objective(None), scales_objective(predicting(delta=0.0))
    assert [each["loss"] for each in train(plain, 8)[1]] == [each["loss"] for each in train(silent, 8)[1]]
    assert unequal(plain.codec.state_dict(), dict(silent.codec.state_dict())) == []
    assert silent.scalars()[names.INTER_WEIGHT] == 0
    assert silent.scalars()[names.INTER_PREDICT] > 0


def test_before_its_start_it_learns_and_changes_nothing():
    plain, later = scales_objective(None), scales_objective(predicting(start=6))
    terms, terms_later = train(plain, 8)[1], train(later, 8)[1]
    assert [each["loss"] for each in terms[:6]] == [each["loss"] for each in terms_later[:6]]
    assert "spectral_reg_penalty" not in terms_later[5]
    assert terms_later[6]["spectral_reg_penalty"] > 0, "from the first step on with what was learnt before it"


def test_a_batch_is_judged_by_those_before_it():
    regularizer = predicting()
    regularizer.attach(ThreeScales())
    output = ThreeScales()(torch.rand(4, 3, 32, 32))
    assert float(regularizer.penalty(output).detach()) == 0, "nothing was seen before"
    assert float(regularizer.penalty(output).detach()) > 0


def test_in_eval_it_is_absent():
    regularizer = predicting()
    regularizer.attach(ThreeScales())
    before = {name: value.clone() for name, value in regularizer.state_dict().items()}
    assert regularizer.eval().penalty(ThreeScales()(torch.rand(4, 3, 32, 32))) is None
    assert unequal(before, dict(regularizer.state_dict())) == []


def test_neither_a_rehearsal_nor_a_skipped_step_is_learnt_from():
    of = scales_objective(predicting())
    of.regularizers["gain"] = Gain(bad_steps=(2,))
    made, _ = train(of, 2)
    before = {name: value.clone() for name, value in of.regularizers.state_dict().items()}
    batch = next(loader().batches(0))
    made.try_out(batch, BEGINNING)
    with pytest.raises(ArithmeticError, match="not finite"):
        made.step(batch, Progress(2, 0, 0.0))
    assert unequal(before, dict(of.regularizers.state_dict())) == []


@pytest.mark.parametrize("changes", [{}, {"refit_every_steps": 4}, {"form": "nats", "gradient_cap": 0.05, "ramp": 6}])
@pytest.mark.parametrize("stop_at", [1, 5])
def test_resume_is_exact(tmp_path, changes, stop_at):
    def fresh(folder, stop_at=None):
        of = scales_objective(predicting(start=2, gradient_every_steps=4, **changes))
        made = trainer(folder, of, [stage(of, 10)], should_stop=lambda: "stop" if made.step == stop_at else None)
        return made

    whole = fresh(tmp_path / "whole")
    whole.fit()
    with pytest.raises(Preempted):
        fresh(tmp_path / "parts", stop_at=stop_at).fit()
    resumed = fresh(tmp_path / "parts")
    assert resumed.resume()
    resumed.fit()
    left, right = everything(whole), everything(resumed)
    left["notes"], left["recorded"], right["recorded"] = left["notes"][-len(right["notes"]) :], 0, 0
    assert unequal(left, right) == []


@pytest.mark.parametrize(
    ("changes", "widths", "refused"),
    [
        ({"max_features": 15}, (3, 4), "max_features=15: latent 2 has 16 features by alignment=haar"),
        ({"max_features": 16}, (3, 4), None),
        ({"max_features": 15, "alignment": "low_band"}, (3, 4), None),
        ({"max_features": 35, "alignment": "strided_conv"}, (3, 4), "latent 2 has 36 features by alignment=strided"),
    ],
)
def test_what_would_be_too_dear_is_refused(changes, widths, refused):
    codec = fixed(sizes((widths[0], 2), (widths[1], 4)))
    if refused is None:
        predicting(**changes).attach(codec)
    else:
        with pytest.raises(ValueError, match=refused):
            predicting(**changes).attach(codec)


@pytest.mark.slow
def test_two_thousand_steps_stay_within_bounds():
    """The guard's eye for growth is shut, so that it is the form that holds."""
    of = scales_objective(predicting(guard_std_factor=1e9))
    made = stepper(of)
    batches = loader(batch_size=4).batches(0)
    terms = [made.step(next(batches), Progress(step, 0, 0.0)).terms for step in range(2000)]
    found = torch.stack([each["spectral_reg_penalty"] for each in terms])
    assert float(found.min()) >= 0
    assert float(found.max()) <= 0.1 * 2
    after = of.scalars()
    assert all(math.isfinite(value) for value in after.values())
    assert max(after[names.latent_std(scale)] for scale in (1, 2, 3)) < 4
