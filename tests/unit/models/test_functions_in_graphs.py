"""Derivatives written by hand, as a compiler may be given them.

torch 2.11 compiles a function whose forward writes to a tensor to one without a gradient, and says nothing.
"""

from contextlib import contextmanager

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import lic_exp

NEVER_COMPILED = ("_FusedPointwise", "_Sums")
"""A compiled model does without the one, and the other stands outside of what is compiled."""


class Writes(TorchDispatchMode):
    """Notes the operations that write to a tensor."""

    def __init__(self, found):
        super().__init__()
        self.found = found

    def __torch_dispatch__(self, operation, types, arguments=(), options=None):
        if operation._schema.is_mutable:
            self.found.append(operation.name())
        return operation(*arguments, **(options or {}))


def functions():
    return [
        each
        for each in torch.autograd.Function.__subclasses__()
        if each.__module__.startswith("lic_exp.") and each.__name__ not in NEVER_COMPILED
    ]


@contextmanager
def watched(monkeypatch, classes):
    """{function: the operations by which its forward wrote to a tensor}, of those that were called within."""
    found = {}

    def watch(each):
        forward = each.forward

        def called(context, *arguments):
            with Writes(found.setdefault(each.__name__, [])):
                return forward(context, *arguments)

        monkeypatch.setattr(each, "forward", staticmethod(called))

    for each in classes:
        watch(each)
    yield found


@pytest.mark.parametrize("name", ["dhic_tiny", "hpcm_tiny"])
def test_no_forward_of_a_function_writes_in_place(monkeypatch, name):
    codec = lic_exp.create_model(name).train()
    with watched(monkeypatch, functions()) as found:
        side = codec.facts.downsampling_factor
        output = codec(torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)))
        sum(bits.sum() for bits in output.bits.values()).backward()
    assert len(found) >= 2
    assert {function: written for function, written in found.items() if written} == {}


class InPlace(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone().mul_(2)

    @staticmethod
    def backward(ctx, *gradients):
        return 2 * gradients[0]


class OfAView(InPlace):
    @staticmethod
    def forward(ctx, x):
        y = x.clone()
        y[:1] += 1
        return y


@pytest.mark.parametrize("planted", [InPlace, OfAView])
def test_a_planted_write_is_found(monkeypatch, planted):
    with watched(monkeypatch, [planted]) as found:
        planted.apply(torch.ones(2, requires_grad=True))
    assert found[planted.__name__]


@pytest.mark.parametrize("kind", ["move", "move back"])
def test_a_compiled_move_has_the_gradient_of_the_plain_one(kind):
    from lic_exp.models.hpcm.partition import move, partition

    grid = partition(16, 16, False, torch.device("cpu"))
    how, sides = (grid.to_s1, (4, 4)) if kind == "move" else (grid.s2_to_s3, (16, 16))
    x = torch.randn(2, 16, *((16, 16) if kind == "move" else (8, 8)), generator=torch.Generator().manual_seed(0))
    weights = torch.randn(2, 16, *sides, generator=torch.Generator().manual_seed(1))
    gradients = []
    for moved in (move, torch.compile(move, backend="eager", fullgraph=True)):
        source = x.clone().requires_grad_()
        (moved(source, how, *sides) * weights).sum().backward()
        gradients.append(source.grad)
    assert gradients[0].count_nonzero() > 0
    assert torch.equal(*gradients)
