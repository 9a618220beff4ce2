"""What a compiled step tells each weight is what the step as it is written tells it."""

import copy

import pytest
import torch
from courses import image, shipped

from lic_exp.config.options import options
from lic_exp.training.compiling import compile_objective
from lic_exp.training.draws import Draws

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)  # the compiler's

SMALL = [name for name in options("model") if name.endswith("_tiny")]
OWN = [name for name in SMALL if name.startswith(("dhic", "hpcm"))]
COMPILED = [*((name, "aot_eager") for name in SMALL), *((name, "inductor") for name in OWN)]
"""The first computes as eager code does, and is ready in seconds."""


def gradients(of):
    """Of a fixed batch with fixed noise: {weight: gradient}."""
    x = image(0, of.codec.facts.downsampling_factor)
    draws = Draws(of.codec, seed=0)
    draws.draw(0, len(x))
    draws.learn(x)
    of.zero_grad()
    drawn = [values.to(x.device) for values in of.draw(draws.shares())]
    with draws.given(slice(0, len(x))):
        of(x, *drawn)["loss"].backward()
    return {key: weight.grad.clone() for key, weight in of.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("name", "backend"), COMPILED)
def test_of_every_small_model(name, backend, memory_format):
    torch._dynamo.reset()
    torch.manual_seed(0)
    plain = shipped(name)
    compiled = copy.deepcopy(plain)
    compiled.codec.to(memory_format=memory_format)
    compile_objective(compiled, True, backend)
    found, expected = gradients(compiled), gradients(plain)
    assert found.keys() == expected.keys()
    apart = {key: float((found[key] - own).norm() / own.norm().clamp(min=1e-3)) for key, own in expected.items()}
    assert {key: share for key, share in apart.items() if share > 0.02} == {}
