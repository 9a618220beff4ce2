"""What one step asks of its device: operators of a CPU, and what a profiler has seen of a GPU."""

from types import SimpleNamespace

import pytest
import torch

from lic_exp.sections import BACKWARD, DATA, FORWARD, OPTIMIZER, OTHER, REPLAY, Section, heard_by
from lic_exp.training.launches import LABEL, OperatorCount, of_events


def test_operators_are_counted_where_they_are_called_and_views_are_not():
    weight = torch.ones(4, 4, requires_grad=True)
    count = OperatorCount()
    with heard_by(count):
        torch.zeros(2)
        with Section(OPTIMIZER):
            with Section(FORWARD):
                loss = (weight.view(2, 8).t() @ torch.ones(2, 3)).sum()  # one, product, sum
            with Section(BACKWARD):
                loss.backward()
            torch.optim.SGD([weight], lr=0.1).step()
    found = count.stop()
    assert (found.by_part[OTHER], found.by_part[FORWARD]) == (1, 3)
    assert found.by_part[BACKWARD] >= 2
    assert found.by_part[OPTIMIZER] >= 1
    assert found.kernels is found.busy_s is None


def test_counting_ends_and_computes_what_is_computed_without():
    def computed():
        random = torch.Generator().manual_seed(3)
        x = torch.empty(3, 5).normal_(generator=random).requires_grad_()
        (x.exp() @ x.t()).sum().backward()
        return x.grad

    count = OperatorCount()
    inside = computed()
    found = count.stop()
    counted = sum(found.by_part.values())
    assert torch.equal(inside, computed())
    assert sum(found.by_part.values()) == counted > 0


def event(name, begin, end, device="CPU", label=False):
    span = SimpleNamespace(start=begin, end=end, elapsed_us=lambda: end - begin)
    kind = SimpleNamespace(name=device)
    return SimpleNamespace(name=name, device_type=kind, time_range=span, is_user_annotation=label)


def label(name, begin, end):
    """A section, as the profiler has it on the host and, later, on the device."""
    return [
        event(LABEL + name, begin, end, label=True),
        event(LABEL + name, begin + 900, end + 999, "CUDA", label=True),
    ]


def kernel(at, name="cudaLaunchKernel", microseconds=50):
    """A call, from whichever thread, and what it starts on the device."""
    return [
        event("aten::add", at - 1, at + 3),
        event(name, at, at + 2),
        event("vectorized_add", at + 500, at + 500 + microseconds, "CUDA"),
    ]


@pytest.mark.parametrize(
    "name", ["cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel", "cudaMemcpyAsync", "cudaMemsetAsync"]
)
def test_launches_of_a_gpu_belong_to_the_section_that_they_fall_into(name):
    events = [
        *label(OPTIMIZER, 100, 200),
        *label(FORWARD, 110, 140),
        *label(BACKWARD, 140, 180),
        *(one for at in (50, 120, 130, 150, 160, 170, 190, 195) for one in kernel(at, name)),
        event("cudaStreamSynchronize", 196, 197),
        event("cudaEventRecord", 115, 116),
    ]
    found = of_events(events)
    assert found.by_part == {OTHER: 1, FORWARD: 2, BACKWARD: 3, OPTIMIZER: 2}
    together = pytest.approx((50 + 125) * 1e-6)
    assert (found.kernels, found.busy_s) == (8, together), "two at a time count once"


def test_a_replayed_graph_is_one_launch_of_many_kernels():
    nodes = [event(f"kernel_{number}", 600 + number, 601 + number, "CUDA") for number in range(1000)]
    events = [*label(DATA, 0, 10), *label(REPLAY, 10, 90), *label(FORWARD, 20, 60), event("cudaGraphLaunch", 30, 40)]
    found = of_events([*events, *nodes])
    assert found.by_part == {REPLAY: 1}
    assert (found.kernels, found.busy_s) == (1000, pytest.approx(1e-3))
