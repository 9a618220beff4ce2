"""A training whose steps are measured is the training that it would be, and what it costs is told of whole steps."""

from contextlib import contextmanager

import pytest
import torch
from tape import tape
from training_parts import (
    CPU,
    Gain,
    Noisy,
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
from lic_exp.divergence import DivergedError
from lic_exp.optimizers import factories
from lic_exp.sections import (
    BACKWARD,
    CHECKPOINT,
    DATA,
    DRAWS,
    FORWARD,
    LOG,
    OPTIMIZER,
    PARTS,
    REGULARIZER,
    REPLAY,
    TRANSFER,
    VALIDATION,
    heard_by,
)
from lic_exp.spectral_reg.inter_scale import InterScale
from lic_exp.training import profiling
from lic_exp.training.capture import Captures
from lic_exp.training.compiling import compile_objective
from lic_exp.training.launches import OperatorCount
from lic_exp.training.preempted import Preempted
from lic_exp.training.profiling import LEAST_STEPS, WARM_UP, Profiler, Work

STEPS = 20


def work_of(step):
    """Two images a step, and more FLOPs each time, so that a wrong step is seen."""
    return Work(2, float(step))


@pytest.fixture(autouse=True)
def no_peak(monkeypatch):
    """Large products take seconds where many tests run."""
    monkeypatch.setattr(profiling, "matmul_peak", lambda device, dtype: 1e9)


@contextmanager
def measured(run, **more):
    profiler = Profiler(CPU, torch.float32, run.step, run.max_steps, work_of, **more)
    advance = run.reporter.advance
    run.reporter.advance = lambda step: (advance(step), profiler.advance(step))
    with heard_by(profiler):
        yield profiler


def made(folder, of, steps=STEPS, **changes):
    usual = {"log_every_steps": 5, "validate_every_steps": 8, "checkpoint_every_steps": 6}
    batches = changes.pop("batches", None)
    return trainer(folder, of, [stage(of, steps, batches=batches)], **usual | changes)


def test_all_steps_but_the_first_and_the_last_are_timed(tmp_path):
    run = made(tmp_path, objective(regularizer=Gain()), ema_decay=0.9)
    with measured(run) as profiler:
        run.fit()
    found = profiler.end()
    timed = range(WARM_UP, STEPS - 1)
    assert (found.first_step, found.steps, found.images) == (WARM_UP, len(timed), 2 * len(timed))
    assert found.flops == sum(timed)
    begun = found.times.begun
    assert {begun[part] for part in (DATA, TRANSFER, DRAWS, FORWARD, BACKWARD)} == {len(timed), 2 * len(timed)}
    assert begun[TRANSFER] == begun[REGULARIZER] == begun[OPTIMIZER] == 2 * len(timed)
    assert begun[VALIDATION] == 3, "after 8, 16 and the last"
    assert begun[CHECKPOINT] >= 4, "after 6, 12, 18 and the last, and of the best weights"
    assert begun[LOG] >= 4, "after 10, 15 and the last"
    assert set(found.times.host) <= {*PARTS, VALIDATION}
    assert found.missing == {}


def test_launches_are_those_of_the_last_step_alone(tmp_path):
    counts = []
    for steps in (LEAST_STEPS, STEPS):
        run = made(tmp_path / str(steps), objective())
        with measured(run) as profiler:
            run.fit()
        counts.append(profiler.end().launches)
    assert counts[0].by_part == counts[1].by_part
    assert counts[0].by_part[FORWARD] > 10
    assert counts[0].by_part[BACKWARD] > 10
    assert counts[0].by_part[OPTIMIZER] > 1
    assert not {LOG, CHECKPOINT, VALIDATION} & counts[0].by_part.keys()


def inter():
    given = compose(parse(["spectral_reg=inter"]))["spectral_reg"]
    when = {"start": 3, "ramp": 4, "unit": "step", "delta": 0.01}
    return InterScale(**{key: value for key, value in given.items() if key != "_target_"} | when)


WAYS = {
    "plain": (objective, {}),
    "in parts, averaged": (objective, {"stepping": step_options(accumulate=2), "ema_decay": 0.9}),
    "bf16": (objective, {"stepping": step_options(precision="bf16", channels_last=True)}),
    "a term of its own": (lambda: objective(regularizer=Gain()), {}),
    "a rate of its own per image": (lambda: objective(rates=variable_rate()), {}),
    "between scales": (lambda: scales_objective(inter()), {}),
    "going back": (objective, {"on_nonfinite": "rollback", "batches": loader(bad_steps=(9,))}),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_training_is_the_same_to_the_last_bit(tmp_path, way):
    of, changes = WAYS[way]
    plain = made(tmp_path / "plain", of(), **changes)
    plain.fit()
    left = everything(plain)
    seen = made(tmp_path / "seen", of(), **changes)
    with measured(seen) as profiler:
        seen.fit()
    assert unequal(left, everything(seen)) == []
    assert profiler.end().steps >= STEPS - WARM_UP - 4


def test_a_step_that_is_replayed_is_one_part(tmp_path, monkeypatch):
    monkeypatch.setattr(factories, "kernel", lambda params: {"fused": True})
    monkeypatch.setattr(torch.distributions.Distribution, "_validate_args", False)
    of = objective()
    of.codec = Noisy()
    run = made(tmp_path, of)
    run.stepper.gated = True
    run.stepper.captures = Captures(of, run.setup.optimizers, tape)
    with measured(run, compiled=True) as profiler:
        run.fit()
    found = profiler.end()
    assert found.times.begun[REPLAY] == found.steps == STEPS - WARM_UP, "the last step is timed too"
    assert not {FORWARD, BACKWARD, OPTIMIZER} & found.times.host.keys()
    assert found.times.begun[DRAWS] == found.steps
    assert found.missing == {"launches": "what is compiled for a CPU calls no operators"}


def test_what_is_compiled_stays_one_graph(tmp_path):
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    of = objective(regularizer=Gain())
    of.codec = Noisy()
    compile_objective(of, True, backend)
    run = made(tmp_path, of)
    with measured(run, compiled=True) as profiler:
        run.fit()
    assert len(graphs) == 1
    found = profiler.end()
    assert found.times.begun[FORWARD] == found.steps == STEPS - WARM_UP


@pytest.mark.parametrize(("steps", "timed"), [(1, 0), (WARM_UP, 0), (WARM_UP + 1, 0), (LEAST_STEPS, 1), (12, 6)])
def test_a_training_that_is_too_short_has_nothing_to_tell(tmp_path, steps, timed):
    run = made(tmp_path, objective(), steps)
    with measured(run) as profiler:
        run.fit()
    assert profiler.end().steps == timed


def test_a_training_that_goes_on_is_measured_from_where_it_does(tmp_path):
    stopped = made(tmp_path, objective())
    stopped.should_stop = lambda: "enough" if stopped.step == 12 else None
    with measured(stopped) as profiler, pytest.raises(Preempted):
        stopped.fit()
    found = profiler.end()
    assert (found.first_step, found.steps) == (WARM_UP, 12 - WARM_UP)
    assert found.missing == {"launches": "they are counted in the run's last step, which was not made"}
    again = made(tmp_path, objective())
    assert again.resume()
    with measured(again) as profiler:
        again.fit()
    found = profiler.end()
    assert (found.first_step, found.steps) == (12 + WARM_UP, STEPS - 1 - 12 - WARM_UP)
    assert found.launches.by_part[FORWARD] > 10


def failing(*_):
    raise RuntimeError("CUPTI_ERROR_INSUFFICIENT_PRIVILEGES:\n not here")


@pytest.mark.parametrize(("what", "function"), [("peak", "matmul_peak"), ("launches", "launch_count")])
def test_what_cannot_be_measured_is_said_and_the_rest_is(tmp_path, monkeypatch, caplog, what, function):
    monkeypatch.setattr(profiling, function, failing)
    run = made(tmp_path, objective())
    with measured(run) as profiler:
        run.fit()
    found = profiler.end()
    assert found.missing == {what: "RuntimeError: CUPTI_ERROR_INSUFFICIENT_PRIVILEGES: not here"}
    assert f"trainer.profile: no {what}: RuntimeError: CUPTI_ERROR" in caplog.text
    assert found.steps == STEPS - WARM_UP - (what == "peak")
    assert (found.peak_flops is None, found.launches is None) == (what == "peak", what == "launches")


def test_a_count_that_fails_at_its_end_ends_all_the_same(tmp_path, monkeypatch):
    class Broken(OperatorCount):
        def stop(self):
            super().stop()
            failing()

    monkeypatch.setattr(profiling, "launch_count", lambda device: Broken())
    run = made(tmp_path, objective())
    with measured(run) as profiler:
        run.fit()
    found = profiler.end()
    assert "CUPTI_ERROR" in found.missing["launches"]
    assert found.steps == STEPS - WARM_UP - 1
    assert found.times.begun[VALIDATION] == 3


def test_a_training_that_breaks_tells_what_was_measured_by_then(tmp_path):
    run = made(tmp_path, objective(), batches=loader(bad_steps=(11,)))
    with pytest.raises(DivergedError), measured(run) as profiler:
        run.fit()
    assert profiler.end().steps == 11 - WARM_UP
