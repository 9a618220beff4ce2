"""Gradients of weights that are made together in a compiled backward pass: those of torch, by fewer products."""

from collections import Counter
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch._dynamo.backends.common import aot_autograd
from torch._inductor.custom_graph_pass import CustomGraphPass
from torch._inductor.decomposition import select_decomp_table

from lic_exp.training import compiling, weight_gradients
from lic_exp.training.weight_gradients import merge_weight_gradients

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)  # the compiler's

WIDTH = 6


@pytest.fixture(autouse=True)
def _forgotten():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


class Walk(nn.Module):
    """One block, several times, of other numbers of rows in between."""

    def __init__(self, times=3, bias=True):
        super().__init__()
        self.times = times
        self.first = nn.Linear(WIDTH, 2 * WIDTH, bias=bias)
        self.second = nn.Linear(2 * WIDTH, WIDTH, bias=bias)

    def forward(self, x):
        for time in range(self.times):
            x = x + self.second(torch.sin(self.first(x)))
            x = torch.cat((x, x[: 1 + time]))
        return x


class Chain(nn.Module):
    """Blocks of one size."""

    def __init__(self, count=5, bias=True):
        super().__init__()
        self.blocks = nn.Sequential(*(Walk(1, bias) for _ in range(count)))

    def forward(self, x):
        for block in self.blocks:
            x = x + block(x)[: len(x)]
        return x


class Depthwise(nn.Module):
    """A depthwise convolution, several times, the last of other sides."""

    def __init__(self, stride=1):
        super().__init__()
        self.conv = nn.Conv2d(WIDTH, WIDTH, 3, padding=1, groups=WIDTH, stride=stride)

    def forward(self, x):
        y = x.view(len(x), WIDTH, 1, 1).expand(-1, -1, 8, 8)
        one, other = self.conv(y), self.conv(2 * y)
        return self.conv(torch.sin(one + other)[..., :3]) + one.mean() * other.sum()


class Shown(nn.Module):
    """One weight, as it is and turned, and in numbers of its own."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(WIDTH, WIDTH))

    def forward(self, x):
        y = torch.sin(F.linear(x, self.weight)) @ self.weight
        return F.linear(y, self.weight) + (x.float() @ self.weight.float()).to(x.dtype)


class Computed(nn.Module):
    """Weights that others are made of, by products: their gradients are no results."""

    def __init__(self):
        super().__init__()
        self.one = nn.Parameter(torch.randn(WIDTH, WIDTH))
        self.other = nn.Parameter(torch.randn(WIDTH, WIDTH))

    def forward(self, x):
        weight = F.linear(self.one, self.other)
        return F.linear(torch.sin(F.linear(x, weight)), weight * self.one)


class Squared(nn.Module):
    """A weight whose gradient is looked at beside what it is added to, and one that nothing is learnt of."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(WIDTH, WIDTH))
        self.fixed = nn.Parameter(torch.randn(WIDTH, WIDTH), requires_grad=False)

    def forward(self, x):
        return F.linear(F.linear(F.linear(x, self.weight), self.fixed), self.weight).square() + self.weight.sum()


def counted(seen):
    """A compiler that merges gradients and hands the graphs back, and what their operations were before and after."""

    def compiler(graph, inputs):
        before = Counter(node.target for node in graph.graph.nodes)
        merge_weight_gradients(graph.graph)
        graph.graph.lint()
        graph.recompile()
        seen.append((before, Counter(node.target for node in graph.graph.nodes)))
        return graph.forward

    return aot_autograd(fw_compiler=compiler, decompositions=select_decomp_table)


def gradients(module, x, backend=None):
    module.zero_grad()
    forward = module if backend is None else torch.compile(module, backend=backend, fullgraph=True, dynamic=False)
    y = forward(x)
    (y * torch.arange(y.numel()).view(y.shape).to(y.dtype).cos()).sum().backward()
    return {name: weight.grad.clone() for name, weight in module.named_parameters() if weight.grad is not None}


class Shifted(nn.Module):
    """A layer that is used several times, with a bias that another weight and the layer's own make."""

    def __init__(self):
        super().__init__()
        self.layer, self.bias = nn.Linear(WIDTH, WIDTH), nn.Parameter(torch.randn(WIDTH))

    def forward(self, x):
        shift = self.layer.bias + (self.layer.weight * self.bias).sum(1)
        for _ in range(4):
            x = torch.sin(F.linear(x, self.layer.weight, shift))
        return x


MODULES = {
    "shifted": Shifted,
    "walk": Walk,
    "walk without biases": partial(Walk, bias=False),
    "walk of ten": partial(Walk, times=10),
    "chain": Chain,
    "chain without biases": partial(Chain, bias=False),
    "long chain": partial(Chain, count=11),
    "depthwise": Depthwise,
    "strided": partial(Depthwise, stride=2),
    "shown": Shown,
    "computed": Computed,
    "squared": Squared,
    "both": lambda: nn.Sequential(Walk(), Chain(), Walk(2), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)),
}


def unlike_torch(module, x, backend):
    """Names of gradients that are not those of torch, to the rounding of sums in another order."""
    plain, merged = gradients(module, x), gradients(module, x, backend)
    assert list(plain) == list(merged)
    return [name for name, own in merged.items() if not torch.allclose(own, plain[name], rtol=1e-10, atol=1e-10)]


@pytest.mark.parametrize("kind", list(MODULES))
def test_gradients_are_those_of_torch(kind):
    torch.manual_seed(0)
    seen = []
    assert unlike_torch(MODULES[kind]().double(), torch.randn(7, WIDTH, dtype=torch.float64), counted(seen)) == []
    assert len(seen) == 2


MM, BMM, SUM = torch.ops.aten.mm.default, torch.ops.aten.bmm.default, torch.ops.aten.sum.dim_IntList


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("walk of ten", {MM: 39, SUM: 20}, {MM: 21, SUM: 2}),
        ("long chain", {MM: 43, SUM: 22}, {MM: 21, BMM: 4, SUM: 4}),
        ("shifted", {MM: 7, SUM: 5}, {MM: 4, SUM: 2}),
    ],
)
def test_many_become_few(kind, before, after):
    """Of uses of one weight, and of weights of one shape; what is left are gradients of features."""
    seen = []
    gradients(MODULES[kind](), torch.randn(7, WIDTH), counted(seen))
    for then, now in zip(seen[1], (before, after), strict=True):
        assert {target: then[target] for target in now} == now
    assert seen[0][0] == seen[0][1], "a forward pass stays as it is"


@pytest.mark.parametrize(("largest", "batches"), [(7 * WIDTH - 1, 0), (7 * WIDTH, 0), (2 * 7 * WIDTH, 2)])
def test_large_features_are_not_brought_together(monkeypatch, largest, batches):
    """Those of P and Q of a product P^T Q, (7, 6) and (7, 12) or the other way."""
    monkeypatch.setattr(weight_gradients, "LARGEST", largest)
    seen = []
    assert unlike_torch(Chain().double(), torch.randn(7, WIDTH, dtype=torch.float64), counted(seen)) == []
    assert seen[1][1][BMM] == batches


@pytest.mark.parametrize(("together", "batches"), [(1, 0), (2, 4), (4, 2), (5, 2), (9, 2)])
def test_so_many_wait_for_each_other(monkeypatch, together, batches):
    """Of five weights of either shape; one that is left over stays alone."""
    monkeypatch.setattr(weight_gradients, "TOGETHER", together)
    seen = []
    assert unlike_torch(Chain().double(), torch.randn(7, WIDTH, dtype=torch.float64), counted(seen)) == []
    assert seen[1][1][BMM] == batches


def test_the_compiler_for_a_gpu_is_given_it(monkeypatch):
    """As a pass that says which it is, or nothing compiled would be kept for other runs."""
    one, other = (compiling.settings("cuda")["post_grad_custom_pre_pass"] for _ in range(2))
    assert isinstance(one, CustomGraphPass)
    assert one.uuid()
    assert one.uuid() == other.uuid()
    torch.compile(lambda x: x + 1, options=compiling.settings("cuda"))
    graph = torch.fx.Graph()
    graph.output(graph.placeholder("x"))
    one(graph)
    assert compiling.settings("cpu") is None
