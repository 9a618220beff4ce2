"""What a codec makes of its weights for a whole forward pass at once is what its modules make of them one by one."""

from contextlib import nullcontext

import pytest
import torch
from training_parts import CPU, SEED, SmallCodec, optimizers, step_options, unequal, variable_rate

import lic_exp
from lic_exp.data.batches import Batch
from lic_exp.models.dhic.blocks import RepDW, mixers, summed_together
from lic_exp.private_torch import watched
from lic_exp.progress import Progress
from lic_exp.training.objective import Objective
from lic_exp.training.rng import seed_everything
from lic_exp.training.stepper import Stepper


def dhic():
    seed_everything(0)
    return lic_exp.create_model("dhic_tiny")


def batch():
    return Batch(torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)), ["a", "b"])


def trained(codec, **changes):
    """Weights and gradients after two steps."""
    of = Objective(codec, variable_rate(), {}).train()
    stepper = Stepper(of, optimizers(of), step_options(**changes), CPU, SEED)
    for step in range(2):
        stepper.step(batch(), Progress(step, 0, 0.0))
    gradients = {name: weight.grad for name, weight in codec.named_parameters() if weight.grad is not None}
    return dict(codec.state_dict()), gradients


@pytest.mark.parametrize("changes", [{}, {"precision": "bf16"}, {"accumulate": 2}])
def test_training_gets_the_same_bits(changes):
    alone = dhic()
    alone.prepared = nullcontext
    assert unequal(trained(alone, **changes), trained(dhic(), **changes)) == []


@pytest.mark.parametrize("frozen", [["conv.weight"], ["conv1.bias"], ["conv.weight", "conv.bias", "conv1.weight"], []])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_gradients_go_where_they_are_wanted(frozen, dtype):
    """Of mixers of several widths."""
    torch.manual_seed(0)
    codec = torch.nn.ModuleList([RepDW(3), RepDW(5)]).to(dtype)
    for mixer in codec:
        for name in frozen:
            mixer.get_parameter(name).requires_grad_(False)
    found = []
    for together in (summed_together(codec), nullcontext()):
        codec.zero_grad()
        with together:
            sum(
                mixer(torch.ones(1, mixer.conv.in_channels, 4, 4, dtype=dtype)).square().sum() for mixer in codec
            ).backward()
        found.append({name: weight.grad for name, weight in codec.named_parameters() if weight.grad is not None})
    assert len(found[0]) == 8 - 2 * len(frozen)
    assert unequal(*found) == []


def operations(codec):
    seen = []
    with watched(lambda given, cast_to, view: seen.append(view)), summed_together(codec):
        pass
    return seen.count(False)


def test_more_mixers_take_no_more_operations():
    assert operations(torch.nn.ModuleList([RepDW(4)])) == operations(torch.nn.ModuleList(RepDW(4) for _ in range(20)))


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_of_it_is_left_behind(fails):
    codec = dhic()
    keys = list(codec.state_dict())
    with pytest.raises(RuntimeError, match="it fails") if fails else nullcontext(), codec.prepared():
        assert all(mixer.summed is not None for mixer in mixers(codec))
        assert list(codec.state_dict()) == keys
        if fails:
            raise RuntimeError("it fails")
    assert [mixer for mixer in mixers(codec) if mixer.summed is not None] == []


def test_where_there_is_nothing_to_make_nothing_is_made():
    assert operations(dhic().fuse()) == 0
    with SmallCodec().prepared():
        pass


def test_what_is_frozen_gets_no_gradients():
    codec = dhic().train()
    for weight in codec.encoder.parameters():
        weight.requires_grad_(False)
    with codec.prepared():
        assert [mixer.summed for mixer in mixers(codec.encoder)] == [None] * len(mixers(codec.encoder))
        taps = codec.encoder(torch.rand(1, 3, 64, 64))
        assert not any(tap.requires_grad for tap in taps)
        assert all(mixer.summed for mixer in mixers(codec.dec_blocks))
