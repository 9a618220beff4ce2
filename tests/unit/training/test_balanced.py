"""Rate and distortion balanced by shares that are learnt, beside a rendering in NumPy."""

from functools import partial

import numpy as np
import pytest
import torch
from training_parts import (
    CPU,
    SEED,
    Gain,
    Noisy,
    ScalableCodec,
    balanced,
    loader,
    objective,
    stage,
    step_options,
    trainer,
    unequal,
    variable_rate,
)
from whole_trainings import assert_exact, two_stages

from lic_exp.config.errors import ConfigError
from lic_exp.config.loading import load_config
from lic_exp.models.base import CodecOutput
from lic_exp.optimizers import factories
from lic_exp.progress import Progress
from lic_exp.tracking import names
from lic_exp.training import trainer as trainer_module
from lic_exp.training.balanced import BalancedMSE, LossShares
from lic_exp.training.criterion import MSE
from lic_exp.training.stepper import Stepper
from lic_exp.training.validation import Validation

LOSSES = np.random.default_rng(0).uniform(0.05, 9.0, (12, 2, 2))
"""Of 12 steps: before and after the update, distortion and rate."""


def rendered(losses, lr, decay):
    """w, Adam's moments and the gradient's weights a of each step, by the paper's equations."""
    w, first, second, found = np.zeros(2), np.zeros(2), np.zeros(2), []
    for step, (before, after) in enumerate(losses, 1):
        z = np.exp(w) / np.exp(w).sum()
        a = z / (before + 1)
        a = a / a.sum()
        jacobian = np.diag(z) - np.outer(z, z)
        gradient = jacobian.T @ (np.log(before + 1) - np.log(after + 1)) + decay * w
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        w = w - lr * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        found.append((w, first, second, a))
    return found


def test_shares_moments_and_gradients_are_those_of_the_equations():
    shares = LossShares(2, lr=0.025, decay=0.003)
    for (before, after), (w, first, second, a) in zip(LOSSES, rendered(LOSSES, 0.025, 0.003), strict=True):
        losses = torch.tensor(before, requires_grad=True)
        (gradient,) = torch.autograd.grad(shares(losses), losses)
        shares.follow(losses.detach(), torch.tensor(after), torch.tensor(True))
        for mine, theirs in (
            (gradient, a),
            (shares.w, w),
            (shares.first_moment, first),
            (shares.second_moment, second),
        ):
            np.testing.assert_allclose(mine.numpy(), theirs, rtol=1e-12)
    assert float(shares.updates) == len(LOSSES)


def test_adam_on_w_is_torch_s():
    shares = LossShares(2, lr=0.025, decay=0.003)
    w = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([w], lr=0.025, weight_decay=0.003)
    for before, after in LOSSES:
        delta = torch.tensor(np.log1p(before) - np.log1p(after))
        (w.grad,) = torch.autograd.grad(w.softmax(0), w, delta)
        adam.step()
        shares.follow(torch.tensor(before), torch.tensor(after), torch.tensor(True))
        torch.testing.assert_close(shares.w, w.detach(), rtol=1e-12, atol=1e-15)


def test_what_fell_more_gets_less():
    shares = LossShares(2, lr=0.025, decay=0.003)
    for _ in range(50):
        shares.follow(torch.tensor([8.0, 1.0]), torch.tensor([4.0, 0.9]), torch.tensor(True))
    distortion, rate = shares.shares().tolist()
    assert distortion < 0.3 < rate
    assert distortion + rate == pytest.approx(1)


@pytest.mark.parametrize(("updated", "after"), [(False, 1.0), (True, float("nan")), (False, float("inf"))])
def test_no_update_and_no_finite_loss_leave_all_as_it_is(updated, after):
    shares = LossShares(2, lr=0.025, decay=0.003)
    shares.follow(torch.tensor([8.0, 1.0]), torch.tensor([4.0, 0.9]), torch.tensor(True))
    before = {name: value.clone() for name, value in shares.state_dict().items()}
    shares.follow(torch.tensor([8.0, 1.0]), torch.tensor([4.0, after]), torch.tensor(updated))
    assert unequal(before, dict(shares.state_dict())) == []


@pytest.mark.parametrize("rates", [None, variable_rate(), variable_rate(balance=0.5)])
def test_the_gradient_is_a_mean_of_both_and_the_difference_of_the_loss(rates):
    """Finite differences of the balanced loss, c held, with the weights of the rates."""
    criterion = balanced(rates)
    criterion.loss_shares.w.copy_(torch.tensor([0.3, -0.2]))
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(3, 3, 16, 16, generator=generator)
    scale = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    x_hat, symbols = (torch.rand(3, n, 16, 16, generator=generator) for n in (3, 2))
    lmbda = [] if rates is None else [torch.tensor([0.002, 0.01, 0.06])]

    def parts(value, of=criterion):
        output = CodecOutput((x_hat * value).float(), {"y": (symbols / value).float()}, ())
        return of(output, target, *lmbda)

    terms = criterion.weighed(parts(scale))
    (found,) = torch.autograd.grad(terms["loss"], scale)
    both = torch.stack([terms[names.DISTORTION_PART], terms[names.RATE_PART]]).detach()
    plain = parts(scale.detach(), MSE(lmbda=0.01) if rates is None else rates)
    assert both.sum() == pytest.approx(float(plain["loss"]), rel=1e-6)
    z = criterion.loss_shares.shares()
    c = (z / (both + 1)).sum()
    step, values = 1e-2, []
    for value in (scale.detach() - step, scale.detach() + step):
        moved = parts(value)
        values.append((z[0] * moved[names.DISTORTION_PART].log1p() + z[1] * moved[names.RATE_PART].log1p()) / c)
    assert float(found) == pytest.approx(float(values[1] - values[0]) / (2 * step), rel=1e-3)
    assert float(terms[names.DISTORTION_SHARE]) == pytest.approx(float(z[0]))


def test_validation_measures_what_it_did():
    images = [("a", torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)))]
    for rates in (None, variable_rate()):
        codec = objective(rates=rates).codec
        plain, mine = (Validation(one, images, CPU)(codec) for one in (rates or MSE(lmbda=0.01), balanced(rates)))
        assert plain == mine


class Heard(LossShares):
    """Keeps what it is told."""

    def follow(self, before, after, updated):
        vars(self).setdefault("told", []).append((before.clone(), after.clone(), bool(updated)))
        super().follow(before, after, updated)


def learning(rates=None, codec=None, regularizer=None):
    of = objective(rates=rates, regularizer=regularizer)
    of.codec = codec or of.codec
    of.criterion = balanced(rates)
    of.criterion.loss_shares.__class__ = Heard
    return of


def made_steps(of, steps, *, lr=1e-3, **stepping):
    sgd = partial(factories.sgd, lr=lr, momentum=0.0, nesterov=False, weight_decay=0.0)
    made = Stepper(
        of, stage(of, steps, factory=sgd, lr=lr, aux_lr=lr).build().optimizers, step_options(**stepping), CPU, SEED
    )
    batches = loader().batches(0)
    return [made.step(next(batches), Progress(step, 0, 0.0)) for step in range(steps)]


class GivenNoise(ScalableCodec):
    """The codec of several rates, which is given its noise."""

    def __init__(self):
        super().__init__()
        self.uniform = Noisy().uniform

    def forward(self, x, quality=None):
        before, torch.rand_like = torch.rand_like, lambda y: self.uniform(y) + 0.5
        try:
            return super().forward(x, quality)
        finally:
            torch.rand_like = before


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("several", [False, True])
def test_the_second_look_sees_the_same_batch_noise_and_qualities(several, precision):
    """So that weights which do not move give the very same losses."""
    of = learning(variable_rate(), GivenNoise()) if several else learning(codec=Noisy())
    made_steps(of.train(), 4, lr=1e-30, precision=precision)
    told = of.criterion.loss_shares.told
    assert len(told) == 4
    assert all(torch.equal(before, after) for before, after, _ in told)
    assert len({float(before[0]) for before, _, _ in told}) == 4
    assert not of.criterion.loss_shares.w.any()


def test_a_step_s_terms_and_what_the_shares_follow():
    of = learning(codec=Noisy(), regularizer=Gain())
    done = made_steps(of.train(), 6, lr=0.05)
    told = of.criterion.loss_shares.told
    losses = np.array([[before.double().numpy(), after.double().numpy()] for before, after, _ in told])
    w = [one[0] for one in rendered(losses, 0.025, 0.003)]
    np.testing.assert_allclose(of.criterion.loss_shares.w.numpy(), w[-1], rtol=1e-9)
    assert (losses[:, 0] != losses[:, 1]).all(), "the weights moved, and both losses with them"
    for step, terms in enumerate(one.terms for one in done):
        assert float(terms[names.DISTORTION_PART]) == pytest.approx(0.01 * 255**2 * float(terms["mse_loss"]), rel=1e-6)
        assert float(terms[names.RATE_PART]) == float(terms["bpp_loss"])
        z = np.exp(w[step - 1]) / np.exp(w[step - 1]).sum() if step else np.array([0.5, 0.5])
        expected = (z * np.log(losses[step, 0] + 1)).sum() / (z / (losses[step, 0] + 1)).sum()
        assert float(terms["loss"] - terms["gain_penalty"]) == pytest.approx(expected, rel=1e-5)
        assert float(terms[names.DISTORTION_SHARE]) == pytest.approx(z[0], rel=1e-6)
    assert int(of.codec.seen) == 6 * 2, "the second pass leaves no trace in buffers"


def test_shares_that_do_not_learn_are_halves_for_ever():
    of = learning(codec=Noisy())
    of.criterion = BalancedMSE(lmbda=0.01, share_lr=0.0, share_decay=0.003)
    done = made_steps(of.train(), 4)
    assert {float(one.terms[names.DISTORTION_SHARE]) for one in done} == {0.5}


def test_who_does_not_ask_is_not_shown_again(monkeypatch):
    calls = []
    of = objective()
    judged = of.judged
    monkeypatch.setattr(of, "judged", lambda *given: calls.append(1) or judged(*given))
    made_steps(of.train(), 3)
    assert len(calls) == 3


def with_shares(rates, stages=lambda of: [stage(of, 10)]):
    """Stages of an objective, which gets a criterion of its own first."""

    def made(of):
        of.criterion = balanced(rates)
        return stages(of)

    return made


@pytest.mark.parametrize("at", [0, 3, 5, 8])
@pytest.mark.parametrize("rates", [None, variable_rate(balance=0.5)])
def test_resume_is_exact_in_every_stage(tmp_path, rates, at):
    stages = with_shares(rates, two_stages(reset=True))
    straight = assert_exact(tmp_path, at=at, rates=rates, stages=stages, ema_decay=0.9, eval_weights="ema")
    shares = [
        entry[names.train(names.DISTORTION_SHARE)] for entry in straight.reporter.entries if "train/loss" in entry
    ]
    assert len(set(shares)) == 10, "a new stage goes on with them"
    assert float(straight.objective.criterion.loss_shares.updates) == 10


def test_averages_have_no_part_in_it(tmp_path):
    shares = []
    for number, decay in enumerate((None, 0.9)):
        of = objective()
        run = trainer(tmp_path / str(number), of, with_shares(None)(of), ema_decay=decay)
        run.fit()
        shares.append(dict(of.criterion.state_dict()))
    assert unequal(*shares) == []
    assert shares[0]["loss_shares.w"].any()


@pytest.mark.parametrize("on_the_device", [False, True])
def test_a_step_that_is_skipped_leaves_the_shares(tmp_path, monkeypatch, on_the_device):
    class Gated(Stepper):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.gated = on_the_device

    monkeypatch.setattr(trainer_module, "Stepper", Gated)
    monkeypatch.setattr(factories, "kernel", lambda params: {"fused": True})
    of = objective()
    of.criterion = balanced()
    run = trainer(tmp_path, of, [stage(of, 8, batches=loader(bad_steps=(4,)))], on_nonfinite="skip")
    seen, attempt = [], run._attempt

    def watched(batch, progress):
        done = attempt(batch, progress)
        seen.append({name: value.clone() for name, value in of.criterion.state_dict().items()})
        return done

    run._attempt = watched
    run.fit()
    assert run.skipped == {4}
    assert unequal(seen[3], seen[4]) == []
    assert unequal(seen[2], seen[3]) != []
    assert float(seen[-1]["loss_shares.updates"]) == 7


def test_checkpoints_of_before_know_of_no_criterion(tmp_path):
    of = objective()
    run = trainer(tmp_path, of, with_shares(None)(of))
    state = run.state_dict()
    assert sorted(state["criterion"]) == [
        f"loss_shares.{name}" for name in ("first_moment", "second_moment", "updates", "w")
    ]
    del state["criterion"]
    run.load_state_dict(state)
    assert dict(trainer(tmp_path, objective(), [stage(objective(), 1)]).state_dict()["criterion"]) == {}


@pytest.mark.parametrize(
    ("criterion", "model", "instead"),
    [("balanced_mse", "hyperprior_tiny", "mse"), ("balanced", "dhic_tiny", "variable_rate")],
)
def test_a_batch_in_parts_is_refused(criterion, model, instead):
    given = ["data=synthetic", f"model={model}", f"criterion={criterion}"]
    assert load_config(given).signature
    with pytest.raises(ConfigError, match=f"trainer.accumulate=2 computes it in parts.* choose criterion={instead}"):
        load_config([*given, "trainer.accumulate=2"])


def test_a_batch_in_parts_is_refused_of_what_is_built_by_hand():
    with pytest.raises(ValueError, match=r"looks at whole batches: set trainer\.accumulate=1"):
        made_steps(learning().train(), 1, accumulate=2)
