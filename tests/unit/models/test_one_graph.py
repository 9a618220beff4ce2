"""Every shipped model is one graph in training, forward and backward: nothing in it is left to Python."""

import math

import pytest
import torch
from operators import Operators

import lic_exp
from lic_exp.config.options import options
from lic_exp.models.base import VariableRateCodec
from lic_exp.models.dhic.conditioning import LOOK_UP, Quality, as_quality, starting_values
from lic_exp.models.hpcm.likelihood import distribution, survival
from lic_exp.training.draws import Draws

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)  # the compiler's

MODELS = options("model")
SMALL = [name for name in MODELS if name.endswith("_tiny")]
QUICK = ["dhic_tiny", "factorized_tiny", "hpcm_tiny", "joint_autoregressive_tiny"]
"""One of each kind of arithmetic."""


@pytest.fixture(autouse=True)
def _forgotten():
    """What other tests have compiled, and what these have."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    yield
    torch._dynamo.reset()


def made(name):
    """A codec that trains; without values where it is ours and too large to be computed with."""
    valueless = name not in SMALL and name.startswith(("dhic", "hpcm"))
    torch.manual_seed(0)
    with torch.device("meta" if valueless else "cpu"):
        return lic_exp.create_model(name).train()


def loss_of(codec, x):
    """R + lambda D of a batch, each image of its own quality where the codec takes one."""
    qualities = [torch.linspace(0, codec.max_quality, len(x), device=x.device)] if takes_quality(codec) else []
    output = codec(x, *qualities)
    return torch.stack([bits.sum() for bits in output.bits.values()]).sum() + 1e3 * (output.x_hat - x).square().mean()


def takes_quality(codec):
    return isinstance(codec, VariableRateCodec)


def compiled_loss(name, backend):
    """The loss of one graph, with the codec and its images."""
    codec = made(name)
    x = images_for(codec)
    return one_graph(codec, x, backend), codec, x


def images_for(codec, side=1):
    """Two. side: of the images, in the smallest legal ones."""
    return torch.rand(2, 3, *2 * [side * codec.facts.downsampling_factor], device=next(codec.parameters()).device)


def one_graph(codec, x, backend):
    """The loss."""
    loss = torch.compile(lambda x: loss_of(codec, x), fullgraph=True, backend=backend)(x)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    return loss


@pytest.mark.parametrize("name", QUICK)
def test_a_forward_pass_is_one_graph(name):
    loss, *_ = compiled_loss(name, "eager")
    assert loss.isfinite()


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in MODELS if name not in SMALL])
def test_a_large_model_is_one_graph_and_its_gradient_another(name):
    loss, codec, _ = compiled_loss(name, "aot_eager")
    loss.backward()
    assert all(parameter.grad is not None for name, parameter in codec.named_parameters() if "quantiles" not in name)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "side"), [*((name, 1) for name in SMALL), ("dhic_tiny", 2), ("hpcm_tiny", 2)])
def test_the_graphs_compute_what_the_model_computes(name, side):
    """At a single position of the coarsest latent too, where memory has no format."""
    codec = made(name)
    x = images_for(codec, side)
    # Given, since noise that is drawn on the way lies in memory as what it is added to does.
    draws = Draws(codec, seed=0)
    draws.draw(0, len(x))
    draws.learn(x)
    with draws.given(slice(0, len(x))):
        expected = loss_of(codec, x)
        expected.backward()
    own = {name: parameter.grad for name, parameter in codec.named_parameters() if parameter.grad is not None}
    codec.zero_grad()
    with draws.given(slice(0, len(x))):
        loss = one_graph(codec, x, "aot_eager")
        loss.backward()
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)
    for key, gradient in own.items():
        assert (codec.get_parameter(key).grad - gradient).norm() < 0.02 * gradient.norm().clamp(min=1e-3), key


@pytest.mark.parametrize("unseen", [-0.1, 63.5, math.nan])
def test_a_quality_that_nobody_looks_at_spoils_what_is_computed_of_it(unseen):
    """In a graph a value outside the range can raise nothing; it must not pass for another quality either."""

    def within(quality):
        return as_quality(quality, 2, 63.0, torch.device("cpu")).values

    graph = torch.compile(within, fullgraph=True, backend="eager")
    assert graph(torch.tensor([1.0, unseen])).flatten().isnan().tolist() == [False, True]
    with pytest.raises(ValueError, match="must lie in"):
        within(torch.tensor([1.0, unseen]))


@pytest.mark.parametrize("conditioning", LOOK_UP)
def test_what_is_looked_up_for_no_quality_is_no_number(conditioning):
    parameter = starting_values(conditioning, 64, 0.5, 2.0)
    found = LOOK_UP[conditioning](parameter, Quality(torch.tensor([5.0, math.nan]).reshape(-1, 1, 1, 1), 63.0))
    assert found.flatten().isnan().tolist() == [False, True]


@pytest.mark.parametrize("function", [survival, distribution])
def test_a_likelihood_takes_nothing_from_the_host(function):
    """A copy from it would end the capture of a graph of CUDA's."""
    with Operators() as seen:
        function(torch.linspace(-3, 3, 7))
    assert not [name for name in seen.names if "lift" in name or "copy" in name]
