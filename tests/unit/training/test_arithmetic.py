"""What a device computes at best, by a clock that tells what it is told."""

import itertools

import pytest
import torch

from lic_exp.ops.precision import switches
from lic_exp.training import arithmetic
from lic_exp.training.arithmetic import REPETITIONS, matmul_peak, peak_memory
from lic_exp.training.rng import rng_state

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(arithmetic, "_side", lambda device, dtype: 32)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_peak_is_of_the_fastest_product(dtype):
    took = [4.0, 0.5, 2.0, 1.0, 8.0][:REPETITIONS]
    clock = itertools.accumulate(itertools.chain.from_iterable((1000.0, seconds) for seconds in took))
    assert matmul_peak(CPU, dtype, lambda: next(clock)) == 2 * 32**3 / 0.5


def test_measuring_draws_nothing_and_leaves_arithmetic_as_it_was():
    torch.manual_seed(3)
    before, settings = rng_state(), switches("cpu")
    with torch.enable_grad():
        matmul_peak(CPU, torch.float32)
        assert torch.is_grad_enabled()
    assert torch.equal(before["torch"], rng_state()["torch"])
    assert switches("cpu") == settings


def test_memory_of_a_cpu_is_that_of_the_process():
    held, where = peak_memory(CPU)
    assert where == "resident in this process since it began, at most"
    assert 50e6 < held < 1e12
