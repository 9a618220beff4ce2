"""What a recorded step computes fetches nothing from the host and looks at no value: it would be no recording.

Seen without a GPU, by tensors that have a device and no values.
"""

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from training_parts import balanced, variable_rate

import lic_exp
from lic_exp.config.options import options
from lic_exp.models.base import CodecOutput
from lic_exp.private_torch import without_values
from lic_exp.progress import Progress
from lic_exp.training.criterion import MSE, MSSSIM, LooksAgain
from lic_exp.training.objective import Objective

GPU = torch.device("cuda", 7)
"""Of a number that no cache will be asked for again."""

SMALL = [name for name in options("model") if name.endswith("_tiny")]
TERMS = [name for name in options("spectral_reg") if name.startswith("inter")]


class FromHost(TorchDispatchMode):
    """fetched: operations that took a tensor of the CPU beside one of the GPU, or a value of a tensor."""

    def __init__(self):
        super().__init__()
        self.fetched = []

    def __torch_dispatch__(self, function, types, arguments=(), more=None):
        result = function(*arguments, **more or {})
        given = _devices((arguments, more))
        if ("cpu" in given and "cuda" in given | _devices(result)) or "_local_scalar_dense" in str(function):
            self.fetched.append(str(function))
        return result


def _devices(values):
    return {value.device.type for value in tree_leaves(values) if isinstance(value, Tensor)}


def fetched(codec, criterion, regularizers, side):
    """By the second of two forward passes with the loss, in mid-training: the first may fill caches."""
    with without_values():
        of = Objective(codec, criterion, regularizers)
        of._apply(lambda tensor: torch.empty_like(tensor, device=GPU))
        of.train().set_progress(Progress(step=3, epoch=3, share=0.5))
        x = torch.empty(2, 3, side, side, device=GPU)
        drawn = [values.to(GPU) for values in of.draw(torch.zeros(2, dtype=torch.float64))]
        of(x, *drawn, target=x)
        with FromHost() as seen:
            terms = of(x, *drawn, target=x)
    assert _devices(terms) == {"cuda"}
    return seen.fetched


def suited(codec):
    return variable_rate() if codec.facts.variable_rate else MSE(lmbda=0.01)


@pytest.mark.parametrize("name", SMALL)
def test_of_no_small_model(name):
    codec = lic_exp.create_model(name)
    side = max(64, codec.facts.downsampling_factor)
    assert fetched(codec, suited(codec), {}, side) == []


@pytest.mark.parametrize("criterion", [MSE(lmbda=0.01), MSSSIM(lmbda=8.0), balanced()])
def test_of_no_criterion(criterion):
    assert fetched(lic_exp.create_model("factorized_tiny"), criterion, {}, 192) == []


@pytest.mark.parametrize("name", ["dhic_tiny", "hpcm_tiny"])
def test_of_no_term_between_scales(name):
    codec = lic_exp.create_model(name)
    begun = {"start": 1, "ramp": 0, "unit": "step", "gradient_every_steps": None, "gradient_cap": None}
    terms = {term: lic_exp.create_regularizer(term, **begun) for term in TERMS}
    for regularizer in terms.values():
        regularizer.attach(codec)
    assert fetched(codec, suited(codec), terms, max(128, codec.facts.downsampling_factor)) == []
    assert all(regularizer.seen.values for regularizer in terms.values())
    kept = tree_leaves([vars(regularizer.seen) for regularizer in terms.values()])
    assert not any(value.requires_grad for value in kept if isinstance(value, Tensor)), "no graph outlives its step"


LOOKING = ("ProdBackward", "NonzeroBackward", "MaskedSelectBackward")
"""Steps of the way back that ask for values, or whose results have a size that hangs on values."""


@pytest.mark.parametrize(
    "criterion", [MSE(lmbda=0.01), MSSSIM(lmbda=8.0), variable_rate(), balanced(), balanced(variable_rate(balance=0.5))]
)
def test_nor_does_the_way_back_of_a_criterion_look_at_values(criterion):
    x_hat = torch.rand(1, 3, 176, 176, requires_grad=True)
    output = CodecOutput(x_hat, {"y": torch.rand(1, 2, 11, 11, requires_grad=True)}, ())
    terms = criterion(output, torch.rand(1, 3, 176, 176))
    terms = criterion.weighed(terms) if isinstance(criterion, LooksAgain) else terms
    ahead, passed = [terms["loss"].grad_fn], set()
    while ahead:
        node = ahead.pop()
        if node is not None and node not in passed:
            passed.add(node)
            ahead += [following for following, _ in node.next_functions]
    assert [node.name() for node in passed if node.name().startswith(LOOKING)] == []


def test_what_does_is_seen():
    """Numbers that are brought along, and a value that is asked for."""

    class Fetching(MSE):
        def total(self, distortions):
            scale = torch.tensor([255.0**2, 1.0]).to(GPU)
            return (scale * distortions["mse_loss"]).sum()

    assert fetched(lic_exp.create_model("factorized_tiny"), Fetching(lmbda=0.01), {}, 64) == ["aten._to_copy.default"]
