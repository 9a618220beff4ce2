from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from lic_exp.optimizers import muon as muon_module
from lic_exp.optimizers.factories import adam, adamw, sgd
from lic_exp.optimizers.matrices import is_matrix
from lic_exp.optimizers.muon import Muon, orthogonalize

ADAM = {"betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.01}
muon = partial(Muon, lr=1e-3, adam_lr=2e-3, momentum=0.95, nesterov=True, ns_steps=5, **ADAM)


def assert_same_course(ours: Any, reference: Any, *, shapes: list[tuple[int, ...]], rtol: float) -> None:
    """Ten steps along the same random gradients; rtol bounds the difference relative to the way covered."""
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(shape, generator=generator) for shape in shapes]
    sides = [[nn.Parameter(tensor.clone()) for tensor in start] for _ in range(2)]
    optimizers = [ours([{"params": sides[0]}]), reference([{"params": sides[1]}])]
    for _ in range(10):
        for pair in zip(*sides, strict=True):
            gradient = torch.randn(pair[0].shape, generator=generator)
            for parameter in pair:
                parameter.grad = gradient.clone()
        for optimizer in optimizers:
            optimizer.step()
    for ours_end, reference_end, origin in zip(*sides, start, strict=True):
        way = (reference_end - origin).norm()
        assert way > 0
        assert (ours_end - reference_end).norm() <= rtol * way


@pytest.mark.parametrize(
    ("ours", "reference"),
    [
        (partial(adam, lr=1e-3, **ADAM), partial(torch.optim.Adam, lr=1e-3, weight_decay=0.01)),
        (partial(adamw, lr=1e-3, **ADAM), partial(torch.optim.AdamW, lr=1e-3, weight_decay=0.01)),
        (
            partial(sgd, lr=1e-3, momentum=0.9, nesterov=True, weight_decay=0.0),
            partial(torch.optim.SGD, lr=1e-3, momentum=0.9, nesterov=True),
        ),
    ],
    ids=["adam", "adamw", "sgd"],
)
def test_options_reach_torch(ours: Any, reference: Any) -> None:
    assert_same_course(ours, reference, shapes=[(4, 3), (5,)], rtol=1e-6)


def test_wrong_options_are_refused() -> None:
    parameter = nn.Parameter(torch.ones(1))
    with pytest.raises(ValueError, match=r"betas must be two decays in \[0, 1\), got \[0.9\]"):
        adam([{"params": [parameter]}], lr=1e-3, betas=[0.9], eps=1e-8, weight_decay=0.0)
    with pytest.raises(ValueError, match="nesterov needs momentum > 0"):
        sgd([{"params": [parameter]}], lr=1e-3, momentum=0.0, nesterov=True, weight_decay=0.0)


def test_muon_steps_the_rest_as_adamw() -> None:
    reference = partial(torch.optim.AdamW, lr=2e-3, weight_decay=0.01, foreach=True)
    assert_same_course(muon, reference, shapes=[(5,), (1, 5, 1, 1), (6, 1, 3, 3), (4, 3, 2)], rtol=0.0)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch.optim.Muon came with torch 2.9")
@pytest.mark.parametrize("nesterov", [True, False])
def test_muon_is_torch_s_on_matrices(nesterov: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    # torch iterates in bfloat16; in the same dtype only the order of its roundings is left to differ.
    monkeypatch.setattr(muon_module, "ITERATION_DTYPE", torch.bfloat16)
    options = {"lr": 1e-2, "momentum": 0.95, "nesterov": nesterov, "ns_steps": 5, "weight_decay": 0.1}
    ours = partial(Muon, adam_lr=1.0, betas=[0.9, 0.999], eps=1e-8, **options)  # type: ignore[arg-type]
    reference = partial(torch.optim.Muon, adjust_lr_fn="match_rms_adamw", **options)
    assert_same_course(ours, reference, shapes=[(8, 8), (6, 20), (20, 6)], rtol=0.02)


@pytest.mark.parametrize("shape", [(12, 12), (5, 40), (40, 5)])
def test_orthogonalization_flattens_the_spectrum_and_keeps_the_singular_vectors(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    matrix = left @ torch.linspace(1, 10, len(right), dtype=torch.float64).diag() @ right
    rotated = left.T @ orthogonalize(matrix, 5) @ right.T
    assert ((rotated.diagonal() > 0.6) & (rotated.diagonal() < 1.3)).all()
    assert (rotated - rotated.diagonal().diag()).abs().max() < 1e-4


def test_a_kernel_is_stepped_as_its_flattened_matrix() -> None:
    gradient = torch.randn(6, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    kernel, matrix = nn.Parameter(torch.zeros(6, 4, 3, 3)), nn.Parameter(torch.zeros(6, 36))
    for parameter, own in ((kernel, gradient), (matrix, gradient.flatten(1))):
        parameter.grad = own
        muon([{"params": [parameter]}]).step()
    assert torch.equal(kernel.flatten(1), matrix)


def test_an_update_is_as_large_as_adamw_s() -> None:
    kernel = nn.Parameter(torch.zeros(32, 16, 3, 3))
    kernel.grad = torch.randn(kernel.shape, generator=torch.Generator().manual_seed(0))
    muon([{"params": [kernel]}]).step()
    assert 0.1e-3 < kernel.square().mean().sqrt().item() < 0.3e-3


def test_a_zero_gradient_moves_nothing() -> None:
    assert torch.equal(orthogonalize(torch.zeros(3, 4), 5), torch.zeros(3, 4))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((6, 3, 3, 3), True), ((4, 6), True), ((6, 1, 3, 3), False), ((1, 6, 1, 1), False), ((6,), False)],
)
def test_what_is_taken_for_a_matrix(shape: tuple[int, ...], expected: bool) -> None:
    assert is_matrix(torch.empty(shape)) is expected
    assert not is_matrix(torch.empty(6, 3, 2))
