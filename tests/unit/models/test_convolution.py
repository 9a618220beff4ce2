"""Forms of convolutions for a GPU that trains compute what torch's own do; here they are asked for on the CPU."""

import math
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from operators import Operators
from torch import nn
from torch._dynamo.backends.common import aot_autograd

import lic_exp
from lic_exp.models import convolution
from lic_exp.models.convolution import Depthwise3x3, Pointwise, pointwise, shifted
from lic_exp.models.dhic import conditioning
from lic_exp.models.dhic import convolution as dhic_convolution
from lic_exp.models.dhic.blocks import BaseBlock
from lic_exp.models.dhic.conditioning import LOOK_UP, Quality, gains_at, parameter_names, starting_values
from lic_exp.models.hpcm import attention, layers
from lic_exp.models.hpcm.attention import WindowAttention
from lic_exp.models.hpcm.layers import depthwise_block, partial_block
from lic_exp.training.draws import Draws

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)  # the compiler's

SIZES = [(1, 1), (1, 5), (4, 4), (7, 3)]
"""Of features; at a single position memory has no format."""


@pytest.fixture
def compiled_for_gpu(monkeypatch):
    """All features are taken for a GPU's, in a graph that is being compiled."""
    for module in (convolution, dhic_convolution, attention, layers):
        monkeypatch.setattr(module, "compiles_for_gpu", lambda x: True)
    monkeypatch.setattr(dhic_convolution.Conv1x1, "forward", Pointwise.forward)
    monkeypatch.setattr(layers, "fusing_pays", lambda x: False)


def features(channels, size, last):
    x = torch.randn(2, channels, *size, dtype=torch.float64)
    return x.contiguous(memory_format=torch.channels_last) if last else x


def with_gradients(function, *tensors):
    """The result, and gradients of all tensors for one that differs from place to place, of whole numbers."""
    tensors = [tensor.detach().clone().requires_grad_() for tensor in tensors]
    y = function(*tensors)
    return y, *torch.autograd.grad(y, tensors, (torch.arange(y.numel()) % 7 - 3).reshape(y.shape).to(y.dtype))


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("with_bias", [True, False])
def test_a_product_is_the_pointwise_convolution(compiled_for_gpu, with_bias, size, last):
    torch.manual_seed(0)
    x = features(5, size, last)
    of = [x, torch.randn(7, 5, 1, 1, dtype=x.dtype), *[torch.randn(7, dtype=x.dtype)] * with_bias]
    own = with_gradients(lambda x, weight, bias=None: pointwise(x, weight, bias), *of)
    for ours, theirs in zip(own, with_gradients(F.conv2d, *of), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    assert own[0].is_contiguous(memory_format=torch.channels_last)


MODULES = {
    "Pointwise": lambda: Pointwise(6, 6),
    "BaseBlock": lambda: BaseBlock(6, 6, 8, 2),
    "depthwise_block": lambda: depthwise_block(6),
    "WindowAttention": lambda: WindowAttention(6, 2, 2),
}


@pytest.mark.parametrize("name", MODULES)
def test_modules_leave_no_pointwise_convolution_to_torch(monkeypatch, name):
    """In a graph for a GPU, forward or backward; what is left are the depthwise ones."""
    monkeypatch.setattr(convolution, "trains_on_gpu", lambda x: torch.is_grad_enabled())
    monkeypatch.setattr(dhic_convolution.Conv1x1, "forward", Pointwise.forward)
    torch._dynamo.reset()
    operators, module = [], MODULES[name]().train()

    def seen(graph, inputs):
        operators.extend(graph.graph.nodes)
        return graph.forward

    backend = aot_autograd(fw_compiler=seen, bw_compiler=seen)
    x = torch.rand(2, 6, 4, 4, requires_grad=True)
    inputs = [x, torch.rand(2, 6, 4, 4)] if name == "WindowAttention" else [x]
    torch.compile(module, fullgraph=True, backend=backend)(*inputs).sum().backward()
    assert operators
    convolutions = [operator for operator in operators if "convolution" in str(operator.target)]
    assert all(6 in operator.args for operator in convolutions), "groups"
    assert len(convolutions) == (2 if "lock" in name else 0)


BLOCKS = {
    "dhic": lambda: BaseBlock(8, 8, 8, 2),
    "dhic, other widths": lambda: BaseBlock(4, 8, 6, 2),
    "hpcm, depthwise": lambda: depthwise_block(8),
    "hpcm, partial": lambda: partial_block(8, 4),
}


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_for_a_gpu_is_the_block(name, last, request):
    torch.manual_seed(0)
    block = BLOCKS[name]().double().train()
    x = features(next(block.parameters()).shape[1] if "dhic" in name else 8, (3, 5), last)

    def everything():
        block.zero_grad()
        y, gradient = with_gradients(block, x)
        block(x).square().sum().backward()
        return y, gradient, *(weight.grad.clone() for weight in block.parameters())

    before = everything()
    request.getfixturevalue("compiled_for_gpu")
    with Operators() as seen:
        after = everything()
    for ours, theirs in zip(after, before, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)
    assert "aten.leaky_relu_.default" not in seen.names


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("widths", [(1, 1), (5, 3), (64, 96)])
def test_a_bias_may_be_left_to_the_layer_behind(dtype, widths):
    torch.manual_seed(0)
    layer, bias = Pointwise(*widths).to(dtype), torch.randn(widths[0], dtype=dtype)
    x = torch.randn(2, widths[0], 3, 4, dtype=dtype)
    shift = shifted(layer, bias)
    assert (shift.dtype, shift.shape) == (dtype, (widths[1],))
    whole = pointwise(x.double() + bias.view(-1, 1, 1).double(), layer.weight.double(), layer.bias.double())
    close = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 0.03}[dtype]
    torch.testing.assert_close(pointwise(x, layer.weight, shift).double(), whole, rtol=close, atol=close)


def test_on_a_cpu_it_is_torchs_own_to_the_bit():
    layer, own = Pointwise(6, 6), nn.Conv2d(6, 6, 1)
    own.load_state_dict(layer.state_dict())
    for memory_format in (torch.contiguous_format, torch.channels_last):
        x = torch.randn(2, 6, 8, 8).contiguous(memory_format=memory_format)
        assert torch.equal(layer(x), own(x))


@pytest.mark.parametrize("last", [False, True])
def test_without_a_compiler_features_have_to_lie_right(monkeypatch, last):
    """And coding, which wants no gradients, is left as it was."""
    monkeypatch.setattr(convolution, "trains_on_gpu", lambda x: torch.is_grad_enabled())
    x = features(4, (3, 5), last)
    with Operators() as seen:
        pointwise(x, torch.randn(2, 4, 1, 1, dtype=x.dtype), None)
    assert ("aten.mm.default" in seen.names) is last
    with torch.no_grad(), Operators() as seen:
        pointwise(x, torch.randn(2, 4, 1, 1, dtype=x.dtype), None)
    assert "aten.convolution.default" in seen.names


@pytest.mark.parametrize("name", ["dhic_tiny", "hpcm_tiny"])
def test_a_codec_trains_as_before(name, request):
    """Loss and all gradients of a step, in float64, where nothing but the order of sums differs."""
    torch.manual_seed(0)
    codec = lic_exp.create_model(name).double().train()
    x = torch.rand(2, 3, 128, 128, dtype=torch.float64)
    draws = Draws(codec, seed=0)

    def step():
        codec.zero_grad()
        draws.draw(0, len(x))
        with draws.given(slice(0, len(x))):
            output = codec(x)
        loss = sum(bits.sum() for bits in output.bits.values()) / 1e4 + (output.x_hat - x).square().sum()
        loss.backward()
        return loss, {name: weight.grad for name, weight in codec.named_parameters()}

    before, gradients = step()
    request.getfixturevalue("compiled_for_gpu")
    after, others = step()
    torch.testing.assert_close(after, before, rtol=1e-9, atol=0)
    for key, gradient in gradients.items():
        difference = (others[key] - gradient).norm() if gradient is not None else 0
        assert difference <= 1e-6 * (gradient.norm() if gradient is not None else 0) + 1e-9, key


@pytest.mark.parametrize("kind", LOOK_UP)
@pytest.mark.parametrize("qualities", [(0.0,), (63.0, 0.25, 31.0), (62.75, 62.75)])
def test_gains_of_all_scales_in_one_are_those_of_each(monkeypatch, kind, qualities):
    """The same values and gradients, in float64; nothing is written to a place of which two images may be."""
    torch.manual_seed(0)
    rows, widths = len(starting_values(kind, 64, 1.0, 1.0)), [3, 5, 3, 2, 4, 1, 4, 2]
    names = [name for scale in (1, 2) for name in parameter_names(scale)]
    weights = {name: torch.randn(rows, width, 1, 1).double() for name, width in zip(names, widths, strict=True)}
    quality = Quality(torch.tensor(qualities, dtype=torch.float64).reshape(-1, 1, 1, 1), 63.0)

    def all_gains(*values):
        found = gains_at(quality, LOOK_UP[kind], dict(zip(weights, values, strict=True)).__getitem__, 2)
        assert [len(gains) for gains in found] == [4, 4]
        return torch.cat([gain for gains in found for gain in gains], 1)

    before = with_gradients(all_gains, *weights.values())
    monkeypatch.setattr(conditioning, "trains_on_gpu", lambda x: torch.is_grad_enabled())
    with Operators() as seen:
        after = with_gradients(all_gains, *weights.values())
    for ours, theirs in zip(after, before, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    assert not [name for name in seen.names if "index" in name or "scatter" in name]


@pytest.mark.parametrize("kind", LOOK_UP)
def test_gains_of_no_quality_are_no_numbers_there_either(monkeypatch, kind):
    monkeypatch.setattr(conditioning, "trains_on_gpu", lambda x: True)
    quality = Quality(torch.tensor([5.0, math.nan]).reshape(-1, 1, 1, 1), 63.0)
    (gains,) = gains_at(quality, LOOK_UP[kind], lambda name: starting_values(kind, 64, 0.5, 2.0), 1)
    assert gains.step.flatten().isnan().tolist() == [False, True]


@pytest.mark.parametrize("window", [1, 2, 4])
def test_attention_by_two_products_is_that_by_four(window, request):
    torch.manual_seed(0)
    layer = WindowAttention(6, 3, window).double()
    inputs = torch.randn(2, 2, 6, 4, 8, dtype=torch.float64)

    def both():
        layer.zero_grad()
        y, *gradients = with_gradients(layer, *inputs)
        layer(*inputs).square().sum().backward()
        return y, *gradients, *(weight.grad.clone() for weight in layer.parameters())

    before = both()
    request.getfixturevalue("compiled_for_gpu")
    for ours, theirs in zip(both(), before, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)
    assert not layer.conv_k.bias.grad.any()


@pytest.mark.parametrize("sides", [(3, 2), (8, 12), (33, 50)])
@pytest.mark.parametrize("at_once", [1, 700, 2**15])
def test_a_depthwise_convolution_in_float64_is_the_same_in_any_strips(monkeypatch, sides, at_once) -> None:
    """Nine products, one after another: torch's own sums these in an order that its library chooses."""
    layer = Depthwise3x3(6).double()
    x = torch.randn(2, 6, *sides, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    expected = F.conv2d(x, layer.weight, layer.bias, padding=1, groups=6)
    monkeypatch.setattr(convolution, "AT_ONCE", at_once)
    with torch.no_grad():
        y = layer(x)
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-14)
    assert y.stride() == expected.stride()
    padded, by_hand = F.pad(x, (1, 1, 1, 1)), layer.bias.detach()[:, None, None].expand_as(x)
    for down, right in product(range(3), range(3)):
        part = padded[:, :, down : down + sides[0], right : right + sides[1]]
        by_hand = by_hand + part * layer.weight.detach()[:, 0, down, right, None, None]
    assert torch.equal(y, by_hand)


def test_a_depthwise_convolution_is_torchs_where_it_trains_or_in_float32() -> None:
    for dtype in (torch.float32, torch.float64):
        layer = Depthwise3x3(6).to(dtype)
        x = torch.randn(1, 6, 5, 4, dtype=dtype).contiguous(memory_format=torch.channels_last)
        assert torch.equal(layer(x), F.conv2d(x, layer.weight, layer.bias, padding=1, groups=6))
        assert set(layer.state_dict()) == {"weight", "bias"}
