"""SOAP against another package's, which keeps its step in the group and has no AdamW for the rest."""

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_optimizer
import torch
from torch import Tensor, nn
from training_parts import loader, objective, stage, trainer, unequal
from whole_trainings import weights_by_step

from lic_exp.optimizers import soap as soap_module
from lic_exp.optimizers.soap import SOAP, eigenvectors

OPTIONS = {
    "lr": 3e-2,
    "betas": [0.95, 0.9],
    "shampoo_beta": 0.8,
    "eps": 1e-8,
    "weight_decay": 0.1,
    "max_precondition_dim": 40,
}
STEPS = 30

Loss = Callable[[list[Tensor]], Tensor]


def ours(weights: list[nn.Parameter], **options: Any) -> SOAP:
    return SOAP([{"params": weights}], **{**OPTIONS, "adam_lr": 0.5, "precondition_every_steps": 3, **options})


def theirs(weights: list[nn.Parameter]) -> torch.optim.Optimizer:
    return pytorch_optimizer.SOAP(weights, **OPTIONS, precondition_frequency=3)


def trained(optimizer: torch.optim.Optimizer, weights: list[nn.Parameter], loss: Loss) -> list[Tensor]:
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss(weights).backward()
        optimizer.step()
    return [weight.detach().flatten(1) for weight in weights]


def drawn(*shapes: tuple[int, ...], dtype: torch.dtype) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-11)])
@pytest.mark.parametrize(
    "shape",
    [(8, 8), (5, 12), (12, 5), (16, 4, 2, 2), (6, 50), (50, 6), (50, 60)],
    ids=["square", "wide", "tall", "kernel", "long columns' side", "long rows' side", "both too long"],
)
def test_a_badly_scaled_quadratic_is_descended_as_by_the_other(
    shape: tuple[int, ...], dtype: torch.dtype, tolerance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By noisy gradients, as without noise rounding comes to decide. Theirs is given a kernel as ours' matrix of it."""
    start, goal = (tensor.flatten(1) for tensor in drawn(shape, shape, dtype=dtype))
    rows, columns = (torch.logspace(-1, 1, size, dtype=dtype) for size in start.shape)

    def quadratic(weight: Tensor) -> Tensor:
        return (rows[:, None] * (weight.flatten(1) - goal).square() * columns).sum()

    def noisy() -> Loss:
        noise = iter(drawn(*STEPS * [start.shape], dtype=dtype))
        return lambda weights: quadratic(weights[0]) + (20 * next(noise) * weights[0].flatten(1)).sum()

    own, other = [nn.Parameter(start.clone().view(shape))], [nn.Parameter(start.clone())]
    (found,) = trained(ours(own), own, noisy())
    monkeypatch.setattr(torch, "float32", dtype)  # in which theirs decomposes by QR
    (expected,) = trained(theirs(other), other, noisy())
    assert quadratic(found) < 0.9 * quadratic(start)
    assert (found - expected).norm() <= tolerance * (expected - start).norm()


def test_a_small_net_is_trained_as_by_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y, *start = drawn((STEPS, 32, 7), (STEPS, 32, 7), (8, 7), (9, 8), (7, 9), dtype=torch.float64)

    def loss(weights: list[Tensor], step: int | slice = slice(None)) -> Tensor:
        first, second, third = weights
        return ((x[step] @ first.T).tanh() @ second.T).tanh().matmul(third.T).sub(y[step]).square().mean()

    def batches() -> Loss:
        steps = iter(range(STEPS))
        return lambda weights: loss(weights, next(steps))

    own, other = ([nn.Parameter(0.3 * tensor) for tensor in start] for _ in range(2))
    begun = loss(own).item()
    monkeypatch.setattr(torch, "float32", torch.float64)
    found, expected = trained(ours(own), own, batches()), trained(theirs(other), other, batches())
    assert loss(found) < 0.95 * begun
    for mine, its in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, its, rtol=0, atol=1e-9)


def test_the_first_gradient_moves_no_matrix_and_everything_else() -> None:
    matrix, kernel, bias, depthwise = (
        nn.Parameter(tensor) for tensor in drawn((4, 6), (4, 3, 3, 3), (5,), (6, 1, 3, 3), dtype=torch.float32)
    )
    weights = [matrix, kernel, bias, depthwise]
    before = deepcopy(weights)
    optimizer = ours(weights)
    for moved in ([False, False, True, True], [True] * 4):
        for weight in weights:
            weight.grad = weight.detach().sin()
        optimizer.step()
        assert [not torch.equal(*pair) for pair in zip(weights, before, strict=True)] == moved


@pytest.mark.parametrize("at", [0, 1, 5])
def test_a_step_that_is_not_finite_is_left_out_by_the_host(tmp_path: Path, at: int) -> None:
    """Before the update: SOAP cannot leave one out itself. The training is that without the step."""
    factory = partial(SOAP, **OPTIONS, adam_lr=1e-3, precondition_every_steps=3)
    of = objective()
    run = trainer(tmp_path, of, [stage(of, 8, batches=loader(bad_steps=(at,)), factory=factory)], on_nonfinite="skip")
    assert not run.stepper.optimizers.can_skip
    seen = weights_by_step(run)
    assert run.skipped == {at}
    assert all(weight.isfinite().all() for weights in seen.values() for weight in weights.values())
    if at:
        assert unequal(seen[at - 1], seen[at]) == []
    counts = {float(state["step"]) for state in run.setup.optimizers.net.state.values()}
    assert counts == {6.0, 7.0}


def test_the_rest_follows_adamw() -> None:
    shapes = [(5,), (1, 5, 1, 1), (6, 1, 3, 3), (4, 3, 2)]
    own, other = ([nn.Parameter(tensor) for tensor in drawn(*shapes, dtype=torch.float32)] for _ in range(2))
    reference = torch.optim.AdamW(other, lr=0.5, betas=(0.95, 0.9), weight_decay=0.1, foreach=True)
    for optimizer, weights in ((ours(own), own), (reference, other)):
        trained(optimizer, [weight for weight in weights if weight.ndim > 1], lambda ws: sum(w.sin().sum() for w in ws))  # type: ignore[misc]
    assert all(torch.equal(*pair) for pair in zip(own, other, strict=True))


def test_bases_stay_orthogonal_and_come_to_the_eigenvectors() -> None:
    """Of statistics that no longer change, in the order of their eigenvalues."""
    (weight,) = (nn.Parameter(tensor) for tensor in drawn((6, 9), dtype=torch.float64))
    (gradient,) = drawn((6, 9), dtype=torch.float64)
    left, _, right = torch.linalg.svd(gradient, full_matrices=False)
    optimizer = ours([weight], precondition_every_steps=1)
    for scale in (torch.ones(6).double(), *[torch.linspace(5, 1, 6, dtype=torch.float64)] * 200):
        weight.grad = left @ scale.diag() @ right
        optimizer.step()
    state = optimizer.state[weight]
    for basis in (state["left_basis"], state["right_basis"]):
        torch.testing.assert_close(basis.T @ basis, torch.eye(len(basis), dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(
        (state["left_basis"].T @ left).abs(), torch.eye(6, dtype=torch.float64), rtol=0, atol=1e-6
    )


def test_a_zero_gradient_gives_no_nan() -> None:
    weight = nn.Parameter(torch.ones(3, 4))
    optimizer = ours([weight], weight_decay=0.0)
    for _ in range(7):
        weight.grad = torch.zeros(3, 4)
        optimizer.step()
    assert torch.equal(weight, torch.ones(3, 4))
    assert all(torch.isfinite(torch.as_tensor(value)).all() for value in optimizer.state[weight].values())


def test_what_needs_more_digits_is_decomposed_with_more(monkeypatch: pytest.MonkeyPatch) -> None:
    decompose = torch.linalg.eigh

    def fails_in_float32(matrix: Tensor) -> Any:
        if matrix.dtype == torch.float32:
            raise torch.linalg.LinAlgError("it did not converge")
        return decompose(matrix)

    monkeypatch.setattr(soap_module.torch.linalg, "eigh", fails_in_float32)
    vectors = eigenvectors(torch.tensor([1.0, 3.0, 2.0]).diag())
    assert vectors.dtype == torch.float32
    assert vectors.abs().tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0]]


def test_products_are_exact_whatever_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(
        soap_module, "eigenvectors", lambda m: (seen.append(torch.get_float32_matmul_precision()), m)[1]
    )
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        weight = nn.Parameter(torch.ones(3, 4))
        weight.grad = torch.ones(3, 4)
        ours([weight]).step()
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert seen == ["highest", "highest"]


resumed_at = pytest.mark.parametrize("at", [0, 1, 2, 4, 7])


@resumed_at
def test_resuming_between_renewals_continues_bit_for_bit(at: int, tmp_path: Any) -> None:
    """From a file, which may hold tensors and plain numbers only."""
    make = partial(ours, precondition_every_steps=4)
    straight, stopped = (
        [nn.Parameter(tensor) for tensor in drawn((5, 6), (4,), dtype=torch.float32)] for _ in range(2)
    )
    gradients = drawn(*[(5, 6)] * 12, dtype=torch.float32)

    def steps(optimizer: SOAP, weights: list[nn.Parameter], which: range) -> None:
        for step in which:
            weights[0].grad, weights[1].grad = gradients[step].clone(), gradients[step][0, :4].clone()
            optimizer.step()

    steps(make(straight), straight, range(12))
    first = make(stopped)
    steps(first, stopped, range(at))
    torch.save(first.state_dict(), tmp_path / "state.pt")
    again = make(stopped)
    again.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    steps(again, stopped, range(at, 12))
    assert all(torch.equal(*pair) for pair in zip(straight, stopped, strict=True))
