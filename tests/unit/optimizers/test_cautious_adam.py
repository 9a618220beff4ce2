from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lic_exp.optimizers import factories
from lic_exp.optimizers.cautious_adam import CautiousAdam, cautious
from lic_exp.private_torch import can_skip_on_device, step_unless

OPTIONS: dict[str, Any] = {"lr": 1e-2, "betas": [0.8, 0.9], "eps": 1e-8, "weight_decay": 0.1}
make = partial(CautiousAdam, **OPTIONS, max_rescale=4.0)


def drawn(shape: tuple[int, ...], count: int, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for _ in range(count)]


def stepped(optimizer: torch.optim.Optimizer, weight: nn.Parameter, gradients: list[Tensor]) -> Tensor:
    for gradient in gradients:
        weight.grad = gradient.clone()
        optimizer.step()
    return weight.detach()


def rendered(weight: np.ndarray, gradients: list[Tensor]) -> np.ndarray:
    """The docstring's equation, written with NumPy in double precision."""
    weight, lr, (first, second) = weight.astype(float), OPTIONS["lr"], OPTIONS["betas"]
    mean = square = np.zeros_like(weight)
    for step, gradient in enumerate((one.double().numpy() for one in gradients), 1):
        mean = first * mean + (1 - first) * gradient
        square = second * square + (1 - second) * gradient**2
        update = mean / (1 - first**step) / (np.sqrt(square / (1 - second**step)) + OPTIONS["eps"])
        kept = update * gradient > 0
        factor = min(weight.size / max(kept.sum(), 1e-9), 4.0)
        weight = (1 - lr * OPTIONS["weight_decay"]) * weight - lr * factor * kept * update
    return weight


@pytest.mark.parametrize("shape", [(40,), (6, 5, 3, 3), (1,), ()], ids=str)
@pytest.mark.parametrize("kernel", ["foreach", "fused"])
def test_it_follows_the_equation(monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], kernel: str) -> None:
    monkeypatch.setattr(factories, "kernel", lambda params: {kernel: True})
    (start, *gradients) = drawn(shape, 21)
    weight = nn.Parameter(start.clone())
    found = stepped(make([{"params": [weight]}]), weight, gradients)
    np.testing.assert_allclose(found.numpy(), rendered(start.numpy(), gradients), rtol=1e-5, atol=1e-6)
    plain = nn.Parameter(start.clone())
    assert not torch.equal(found, stepped(factories.adamw([{"params": [plain]}], **OPTIONS), plain, gradients))


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_where_all_signs_agree_it_is_adamw_to_the_last_bit(weight_decay: float) -> None:
    (start, *gradients) = drawn((7, 9), 21)
    gradients = [gradient.abs() for gradient in gradients]
    options = {**OPTIONS, "weight_decay": weight_decay}
    own, plain = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    found = stepped(CautiousAdam([{"params": [own]}], **options, max_rescale=10.0), own, gradients)
    assert torch.equal(found, stepped(factories.adamw([{"params": [plain]}], **options), plain, gradients))


def test_what_is_kept_is_rescaled_by_what_is_not_up_to_a_bound() -> None:
    update, gradient = -torch.ones(8), torch.tensor([1.0, 1.0, 1.0, 1.0, -1.0, -1.0, 0.0, -1.0])
    assert cautious(update, gradient, 10.0).tolist() == [-2.0] * 4 + [0.0] * 4
    assert cautious(update, gradient, 1.5).tolist() == [-1.5] * 4 + [0.0] * 4
    assert cautious(update, -torch.ones(8), 10.0).tolist() == [0.0] * 8
    tiny = torch.full((2,), 1e-30)
    assert torch.equal(cautious(-tiny, tiny, 10.0), -tiny)


def test_the_device_can_leave_a_step_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the kernels of a GPU, which the CPU has too."""
    monkeypatch.setattr(factories, "kernel", lambda params: {"fused": True})
    (start, *gradients) = drawn((4, 5), 7)
    weight, plain = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    optimizer = make([{"params": [weight]}])
    assert can_skip_on_device(optimizer)
    for gradient in gradients:
        for skip in (True, False):
            before = deepcopy([weight.detach(), *optimizer.state[weight].values()])
            weight.grad = torch.full_like(gradient, torch.nan) if skip else gradient.clone()
            step_unless(optimizer, torch.tensor(skip))
            after = [weight.detach(), *optimizer.state[weight].values()]
            if skip and len(before) > 1:
                assert all(torch.equal(*pair) for pair in zip(before, after, strict=True))
    assert torch.equal(weight, stepped(make([{"params": [plain]}]), plain, gradients))


def test_a_step_that_fails_leaves_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: Any, closure: Any = None) -> None:
        raise RuntimeError("out of memory")

    weight = nn.Parameter(torch.ones(3))
    optimizer = make([{"params": [weight]}])
    weight.grad = torch.ones(3)
    monkeypatch.setattr(torch.optim.AdamW, "step", fails)
    with pytest.raises(RuntimeError, match="out of memory"):
        optimizer.step()
    assert torch.equal(weight, torch.ones(3))
