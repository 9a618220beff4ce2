"""What a step launches beside forward and backward pass: a few kernels, however many weights and buffers there are."""

from copy import deepcopy
from functools import partial

import pytest
import torch
from torch import nn
from training_parts import CPU, SEED, Gain, Noisy, SmallCodec, objective, optimizers, step_options, unequal

from lic_exp.data.batches import Batch
from lic_exp.optimizers import factories
from lic_exp.private_torch import times_written, watched
from lic_exp.progress import Progress
from lic_exp.training.buffers import FormerBuffers
from lic_exp.training.capture import Captures, Rates
from lic_exp.training.ema import EMA
from lic_exp.training.stepper import Stepper

KINDS = {
    "floats": lambda: torch.rand(3, 2),
    "scalar": lambda: torch.rand(()),
    "doubles": lambda: torch.rand(4, dtype=torch.float64),
    "counts": lambda: torch.arange(5),
    "flag": lambda: torch.tensor(True),
    "empty": lambda: torch.empty(0, dtype=torch.int32),
    "channels last": lambda: torch.rand(1, 3, 2, 2).contiguous(memory_format=torch.channels_last),
    "transposed": lambda: torch.rand(3, 4).t(),
}


def launched(what):
    """How many operations do more than look at memory."""
    seen = []
    with watched(lambda given, cast_to, view: seen.append(view)):
        what()
    return seen.count(False)


def module_of(kinds, times=1):
    torch.manual_seed(0)
    module = nn.Module()
    for number in range(times):
        for name in kinds:
            module.register_buffer(f"{name} {number}", KINDS[name]())
    return module


@torch.no_grad()
def spoil(module):
    for buffer in module.buffers():
        buffer.fill_(torch.nan if buffer.is_floating_point() else False)


@pytest.mark.parametrize("kinds", [[], ["floats"], ["flag", "empty"], ["channels last", "transposed"], list(KINDS)])
@pytest.mark.parametrize("unless", [None, False, True])
def test_buffers_are_put_back_unless_the_device_says_otherwise(kinds, unless):
    module = module_of(kinds, times=2)
    before = deepcopy(dict(module.named_buffers()))
    former = FormerBuffers(module)
    places = [buffer.data_ptr() for buffer in module.buffers()]
    if unless is not True:
        spoil(module)
    former.restore(unless=None if unless is None else torch.tensor(unless))
    assert unequal(before, dict(module.named_buffers())) == []
    assert [buffer.data_ptr() for buffer in module.buffers()] == places


def test_buffers_that_are_to_stay_stay():
    module = module_of(KINDS)
    former = FormerBuffers(module)
    spoil(module)
    former.restore(unless=torch.tensor(True))
    assert all(buffer.isnan().all() if buffer.is_floating_point() else not buffer.any() for buffer in module.buffers())


@pytest.mark.parametrize("kinds", [["floats", "scalar"], ["counts", "flag", "empty", "floats"]])
def test_more_buffers_launch_no_more(kinds):
    def kept_and_restored(module):
        FormerBuffers(module).restore(unless=torch.tensor(False))

    counts = [launched(partial(kept_and_restored, module_of(kinds, times))) for times in (1, 20)]
    assert counts[0] == counts[1] <= 7 * len(kinds)


def test_more_terms_launch_no_more_after_a_replay():
    counts = []
    for terms in (1, 20):
        of = objective()
        outputs = {f"term {number}": torch.rand(()) for number in range(terms)} | {"finite": torch.tensor(True)}
        captures = Captures(of, optimizers(of), lambda body, made=outputs: (made, lambda: None))
        step = partial(captures.step, "key", [(torch.rand(2, 3),)], dict)
        found = step()
        assert unequal(found, outputs) == []
        assert not {value.data_ptr() for value in found.values()} & {value.data_ptr() for value in outputs.values()}
        counts.append(launched(step) - terms)
    assert counts[0] == counts[1], "memory aside, one for each"


@pytest.mark.parametrize(("rates", "written"), [([0.1, 0.1, 0.1], 1), ([0.1, 0.2, 0.2, 0.1], 3), ([0.0, 0.0], 0)])
def test_a_learning_rate_is_told_when_it_changes(rates, written):
    made = optimizers(objective())
    told = Rates(made)
    before = times_written(told.tensors[0])
    for rate in rates:
        made.net.param_groups[0]["lr"] = rate
        told.follow()
        assert float(told.tensors[0]) == pytest.approx(rate)
    assert times_written(told.tensors[0]) - before == written


def test_an_average_converts_its_share_once():
    codec = SmallCodec()
    average = EMA(codec, 0.9)
    casts = []
    with watched(lambda given, cast_to, view: casts.append(cast_to)):
        average.update(codec, torch.tensor(True))
    assert casts.count(torch.float32) == 1


@pytest.mark.parametrize("bad", [False, True])
def test_a_gated_step_has_few_operations_of_its_own(monkeypatch, bad):
    monkeypatch.setattr(factories, "kernel", lambda params: {"fused": True})
    of = objective(regularizer=Gain())
    of.codec = Noisy()
    adam = partial(factories.adam, lr=1e-3, betas=[0.9, 0.999], eps=1e-8, weight_decay=0.0)
    stepper = Stepper(of, optimizers(of, adam), step_options(clip_max_norm=None), CPU, SEED)
    stepper.gated = True
    batch = Batch(torch.full((2, 3, 16, 16), torch.nan if bad else 0.5), ["a", "b"])
    stepper.step(batch, Progress(0, 0, 0.0))
    parts = stepper._parts(batch.x, 1)
    own = launched(lambda: stepper._body(parts)) - launched(lambda: stepper._backward(parts))
    assert own <= 40
