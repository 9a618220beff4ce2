"""Steps that are recorded and replayed are the steps that they stand for, bit by bit.

On the CPU, by a recorder that replays operations; its fused kernels can be gated as a GPU's are.
"""

import weakref
from typing import ClassVar

import pytest
import torch
from tape import tape
from training_parts import (
    CPU,
    Gain,
    Noisy,
    balanced,
    everything,
    loader,
    objective,
    scales_objective,
    stage,
    step_options,
    trainer,
    unequal,
    variable_rate,
)

from lic_exp.config.compose import compose
from lic_exp.config.overrides import parse
from lic_exp.models.compressai_zoo import JointAutoregressive
from lic_exp.optimizers import factories
from lic_exp.optimizers.cautious_adam import CautiousAdam
from lic_exp.optimizers.schedules import MultiStep
from lic_exp.progress import Progress
from lic_exp.spectral_reg.inter_predict import InterPredict
from lic_exp.spectral_reg.inter_scale import InterScale
from lic_exp.spectral_reg.intra_scale import IntraScale
from lic_exp.spectral_reg.resolution import Resolution
from lic_exp.training import stepper as stepper_module
from lic_exp.training import trainer as trainer_module
from lic_exp.training.preempted import Preempted
from lic_exp.training.stepper import Stepper

LR = 2.0**-10
"""The same in float32, in which recorded steps are told it."""
STEPS = 12


class Gated(Stepper):
    """On the CPU as on a GPU. made: those that there are."""

    made: ClassVar[list[Stepper]] = []

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.gated = True
        if self.options.compile == "graphs" and not self.scaler.is_enabled():
            self.captures = stepper_module.Captures(self.objective, self.optimizers, stepper_module.cuda_graph)
        self.made.append(self)


@pytest.fixture(autouse=True)
def gated(monkeypatch):
    Gated.made = []
    monkeypatch.setattr(trainer_module, "Stepper", Gated)
    monkeypatch.setattr(factories, "kernel", lambda params: {"fused": True})
    monkeypatch.setattr(stepper_module, "cuda_graph", tape)
    # What the tests' codec is judged by would look whether its arguments are allowed.
    monkeypatch.setattr(torch.distributions.Distribution, "_validate_args", False)


def halving(optimizer):
    return MultiStep(optimizer, milestones=[0.3, 0.6], gamma=0.5, unit="share", warmup_steps=4)


def adam(groups):
    return factories.adam(groups, lr=LR, betas=[0.9, 0.999], eps=1e-8, weight_decay=0.0)


def sgd(groups):
    return factories.sgd(groups, lr=LR, momentum=0.9, nesterov=True, weight_decay=0.0)


def cautious(groups):
    decays = {"betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 2.0**-6}
    return CautiousAdam(groups, lr=LR, **decays, max_rescale=10.0)


def intra():
    return IntraScale(
        tau_init=0.5,
        tau_final=1.0,
        schedule="linear",
        truncation_length=0.5,
        truncation_unit="share",
        truncation_start=0.0,
        mask="soft",
        target="truncated",
    )


def smaller():
    return Resolution(
        side_init=0.5, side_final=1.0, schedule="constant", length=5, unit="step", start=0.0, method="dct"
    )


def between(kind, name, **changes):
    """A term between scales that begins at step 3, grows for four and is guarded at every fifth."""
    given = compose(parse([f"spectral_reg={name}"]))["spectral_reg"]
    when = {"start": 3, "ramp": 4, "unit": "step", "gradient_every_steps": None, "guard_every_steps": 5}
    return kind(**{key: value for key, value in given.items() if key != "_target_"} | when | changes)


def plain(regularizer=None):
    of = objective(regularizer=regularizer)
    of.codec = Noisy()
    return of


def learning(rates=None):
    of = objective(rates=rates) if rates else plain()
    of.criterion = balanced(rates)
    return of


WAYS = {
    "plain": plain,
    "shares that are learnt": learning,
    "shares and rates": lambda: learning(variable_rate()),
    "a rate of its own per image": lambda: objective(rates=variable_rate()),
    "truncated images": lambda: scales_objective(intra()),
    "a term that begins and grows": lambda: scales_objective(between(InterScale, "inter", delta=0.01)),
    "a term that learns": lambda: scales_objective(between(InterPredict, "inter_predict", refit_every_steps=4)),
    "a regularizer that nobody knows": lambda: plain(Gain()),
    "images that grow": lambda: scales_objective(smaller()),
}


def ready(folder, make, compiled, *, batches=None, stages=1, factory=adam, changes=None, **stepping):
    """A trainer. changes: of what it is usually told."""
    of, batches = make(), batches or loader(4)
    parts = [
        stage(of, STEPS // stages, batches=batches, factory=factory, schedule=halving, lr=LR, aux_lr=LR)
        for _ in range(stages)
    ]
    how = {"on_nonfinite": "skip", "ema_decay": 0.9} | (changes or {})
    return trainer(folder, of, parts, stepping=step_options(compile=compiled, **stepping), **how)


def trained(folder, make, compiled, **how):
    run = ready(folder, make, compiled, **how)
    run.fit()
    return run


@pytest.mark.parametrize("way", WAYS)
def test_a_replayed_step_is_the_step(tmp_path, way):
    eager, replayed = (trained(tmp_path / str(how), WAYS[way], how) for how in (False, "graphs"))
    assert unequal(everything(eager), everything(replayed)) == []
    recorded = [len(made.captures.recorded) for made in Gated.made if made.captures]
    assert recorded == [way != "a regularizer that nobody knows"]
    assert replayed.reporter.without_graphs == []


@pytest.mark.parametrize(
    "how",
    [
        {"accumulate": 2},
        {"bad": (0, 5)},
        {"stages": 2},
        {"clip_max_norm": None},
        {"precision": "bf16"},
        {"precision": "bf16", "accumulate": 2, "stages": 2, "bad": (5,)},
    ],
)
def test_so_it_is_with_parts_stages_and_steps_that_are_skipped(tmp_path, how):
    bad = how.get("bad", ())
    how = {name: value for name, value in how.items() if name != "bad"}
    batches = loader(4, bad_steps=bad)
    eager, replayed = (trained(tmp_path / str(one), plain, one, batches=batches, **how) for one in (False, "graphs"))
    assert unequal(everything(eager), everything(replayed)) == []
    assert replayed.skipped == set(bad)
    assert [len(made.captures.recorded) for made in Gated.made if made.captures] == [1] * how.get("stages", 1)


@pytest.mark.parametrize("spoilt", ["in warming up", "in recording"])
def test_where_recording_fails_training_goes_on_as_if_nobody_had_tried(tmp_path, monkeypatch, caplog, spoilt):
    def fails(body):
        body()
        torch.rand(7)
        if spoilt == "in recording":
            tape(body)
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    monkeypatch.setattr(stepper_module, "cuda_graph", fails)
    eager, tried = (trained(tmp_path / str(how), plain, how) for how in (False, "graphs"))
    assert unequal(everything(eager), everything(tried)) == []
    assert tried.reporter.without_graphs == [0]
    assert "steps cannot be recorded (RuntimeError: operation not permitted when stream is capturing" in caplog.text
    assert caplog.text.count("cannot be recorded") == 1


def test_what_a_failed_recording_has_computed_is_let_go(tmp_path, monkeypatch, caplog):
    """Whoever keeps the error, as a log does: with a graph, gradient nodes of another stream would outlive the step."""
    computed = []

    def fails(body):
        outputs = body()
        computed.append(weakref.ref(outputs["loss"]))
        raise RuntimeError("it fails")

    monkeypatch.setattr(stepper_module, "cuda_graph", fails)
    assert trained(tmp_path, plain, "graphs").reporter.without_graphs == [0]
    assert "it fails" in caplog.text
    assert [value() for value in computed] == [None]


@pytest.mark.parametrize("how", [{"stages": 2}, {"changes": {"on_nonfinite": "rollback"}}])
def test_nobody_tries_again_after_a_recording_that_failed(tmp_path, monkeypatch, caplog, how):
    def fails(body):
        raise RuntimeError("it fails")

    monkeypatch.setattr(stepper_module, "cuda_graph", fails)
    tried = trained(tmp_path, plain, "graphs", batches=loader(4, bad_steps=(7,)), **how)
    assert len(Gated.made) == 2
    assert tried.reporter.without_graphs == [0]
    assert caplog.text.count("cannot be recorded") == 1


@pytest.mark.parametrize("factory", [adam, sgd, cautious])
def test_a_training_resumed_in_mid_schedule_follows_it(tmp_path, factory):
    """Optimizers that are resumed have new groups, of which the rates are to be read."""
    straight = trained(tmp_path / "straight", plain, False, factory=factory)
    stopped = ready(tmp_path / "again", plain, "graphs", factory=factory)
    stopped.should_stop = lambda: "asked" if stopped.step == 5 else None
    with pytest.raises(Preempted):
        stopped.fit()
    again = ready(tmp_path / "again", plain, "graphs", factory=factory)
    again.reporter = stopped.reporter
    assert again.resume()
    again.fit()
    assert unequal(everything(straight), everything(again)) == []
    assert again.reporter.without_graphs == []


def test_a_recording_that_looks_at_a_value_is_none(tmp_path, monkeypatch):
    clip = stepper_module.clip_gradients

    def looking(*arguments):
        norms = clip(*arguments)
        assert float(next(iter(norms.values()))) >= 0
        return norms

    monkeypatch.setattr(stepper_module, "clip_gradients", looking)
    assert trained(tmp_path, plain, "graphs").reporter.without_graphs == [0]


class Elsewhere(Noisy):
    """A weight or a buffer that is given new memory by every forward pass. where: the module and the name of it."""

    def __init__(self, where):
        super().__init__()
        self.where = where

    def forward(self, x):
        module, name = self.where
        moved = getattr(self.get_submodule(module), name)
        if isinstance(moved, torch.nn.Parameter):
            moved.data = moved.data.clone()
        else:
            setattr(self.get_submodule(module), name, moved.clone())
        return super().forward(x)


@pytest.mark.parametrize("where", [("g_a", "weight"), ("", "seen")])
def test_what_has_new_memory_in_every_step_is_not_recorded(tmp_path, caplog, where):
    def make():
        of = plain()
        of.codec = Elsewhere(where)
        return of

    eager, tried = (trained(tmp_path / str(how), make, how) for how in (False, "graphs"))
    assert unequal(everything(eager), everything(tried)) == []
    assert tried.reporter.without_graphs == [0]
    assert "a weight or buffer is put elsewhere by every step" in caplog.text


def test_a_masked_context_learns_in_a_recorded_step():
    weights = []
    for how in (False, "graphs"):
        of = plain()
        of.codec = JointAutoregressive(N=4, M=4).train()
        made = Gated(of, stage(of, 3, factory=adam).build().optimizers, step_options(compile=how), CPU, 0)
        for step, batch in zip(range(3), loader(1, 64).batches(0), strict=False):
            made.step(batch, Progress(step, 0, 0.0))
        weights.append(dict(of.codec.state_dict()))
    assert unequal(*weights) == []
    assert len(made.captures.recorded) == 1


def test_rates_are_numbers_to_schedules_and_checkpoints(tmp_path):
    run = trained(tmp_path, plain, "graphs")
    groups = [group for made in run.setup.optimizers.each().values() for group in made.param_groups]
    assert all(isinstance(group["lr"], float) and group.get("capturable") is False for group in groups)
    assert [entry["train/lr"] for entry in run.reporter.entries if "train/lr" in entry][-1] == LR / 4


def test_a_replay_leaves_what_was_logged_before_alone(tmp_path):
    of = plain()
    made = Gated(of, stage(of, 3, factory=adam).build().optimizers, step_options(compile="graphs"), CPU, 0)
    batches = loader().batches(0)
    first = made.step(next(batches), Progress(0, 0, 0.0))
    before = {name: float(value) for name, value in first.terms.items()}
    made.step(next(batches), Progress(1, 0, 0.1))
    assert {name: float(value) for name, value in first.terms.items()} == before
