"""Trainings by the compiler and as recorded steps: the same as without, and bit by bit again where they are resumed."""

from pathlib import Path
from typing import Any

import pytest
import torch
import training_parts as parts
from courses import LR, adam
from training_parts import Noisy, everything, loader, objective, stage, step_options, trainer, unequal

from lic_exp.training.compiling import compile_objective
from lic_exp.training.ema import EMA
from lic_exp.training.preempted import Preempted

STEPS = 12
WAYS = ["off", "full", "graphs"]

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)  # the compiler's


@pytest.fixture(autouse=True)
def _on_the_gpu(gpu, monkeypatch):
    """The parts of the other tests, there. What the toy codec does at every step is no host's affair."""
    monkeypatch.setattr(parts, "CPU", gpu)
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def ready(folder: Path, way: str) -> Any:
    """A trainer of two stages, with averages of its weights, that logs and saves in between."""
    how = {"off": False, "full": True}.get(way, way)
    of = objective()
    of.codec = Noisy()
    of.to("cuda")
    compile_objective(of, how)
    stages = [stage(of, STEPS // 2, batches=loader(4), factory=adam, lr=LR, aux_lr=LR) for _ in range(2)]
    return trainer(
        folder, of, stages, stepping=step_options(compile=how), on_nonfinite="skip", ema_decay=0.9, log_every_steps=3
    )


@pytest.mark.parametrize(("way", "stop"), [("off", 8), ("full", 8), ("graphs", 3), ("graphs", 8)])
def test_a_training_stopped_within_a_stage_goes_on_bit_by_bit(tmp_path, way, stop):
    straight = ready(tmp_path / "straight", way)
    straight.rehearse()
    straight.fit()
    stopped = ready(tmp_path / "again", way)
    stopped.rehearse()
    stopped.should_stop = lambda: "asked" if stopped.step == stop else None
    with pytest.raises(Preempted):
        stopped.fit()
    torch._dynamo.reset()
    again = ready(tmp_path / "again", way)
    again.reporter = stopped.reporter
    assert again.resume()
    again.fit()
    assert unequal(everything(straight), everything(again)) == []
    assert again.reporter.without_graphs == []


def test_all_ways_go_the_same_way(tmp_path):
    ends = {}
    for way in WAYS:
        run = ready(tmp_path / way, way)
        run.fit()
        ends[way] = torch.cat([weight.detach().flatten() for weight in run.objective.parameters()])
        assert run.reporter.without_graphs == []
    start = torch.cat([weight.detach().flatten() for weight in ready(tmp_path / "new", "off").objective.parameters()])
    for way in WAYS:
        assert (ends[way] - ends["off"]).norm() <= 0.01 * (ends["off"] - start).norm()


def test_averages_are_those_of_the_cpu(gpu):
    average = {}
    for device in ("cpu", gpu):
        torch.manual_seed(0)
        codec = Noisy().to(device)
        average[str(device)] = kept = EMA(codec, 0.9)
        for step in range(5):
            with torch.no_grad():
                codec.g_a.weight.add_(torch.rand(codec.g_a.weight.shape).to(device))
                codec.seen.add_(1)
            kept.update(codec, torch.tensor(step != 2, device=device))
    here, there = (kept.state_dict() for kept in average.values())
    torch.testing.assert_close({name: value.cpu() for name, value in there.items()}, dict(here))
