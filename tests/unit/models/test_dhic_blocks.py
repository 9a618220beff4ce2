"""DHIC's blocks where nothing is trained: the same numbers as written out, by few kernels and little memory."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

import lic_exp
from lic_exp.models.dhic.blocks import RepDW, wsilu


class Called(TorchDispatchMode):
    """The names of torch's operations, and the kernels of convolutions, that are called inside."""

    def __init__(self):
        super().__init__()
        self.names: list[str] = []
        self.kernels: list[tuple[int, ...]] = []

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        self.names.append(str(function))
        if "convolution" in str(function):
            self.kernels.append(tuple(arguments[1].shape))
        return function(*arguments, **(options or {}))


def features(width, sides, layout, dtype):
    x = torch.randn(2, width, *sides, generator=torch.Generator().manual_seed(0), dtype=dtype)
    return x.contiguous(memory_format=layout)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("width", "sides"), [(40, (8, 12)), (48, (33, 17)), (5, (1, 1)), (1, (3, 4)), (200, (6, 7))])
@torch.no_grad()
def test_the_depthwise_branches_are_their_sum(width, sides, dtype, layout):
    torch.manual_seed(1)
    mixer, x = RepDW(width).to(dtype).eval(), features(width, sides, layout, dtype)
    with Called() as called:
        y = mixer(x)
    assert called.kernels == [(width, 1, 3, 3)]
    wide = copy.deepcopy(mixer).double()
    wanted = wide.conv(x.double()) + wide.conv1(x.double()) + x.double()
    torch.testing.assert_close(y.double(), wanted, rtol=0, atol=8 * torch.finfo(dtype).eps * float(wanted.abs().max()))
    assert y.stride() == mixer.conv(x).stride()


def test_in_eval_mode_its_gradients_are_those_of_its_branches():
    torch.manual_seed(2)
    mixer, x = RepDW(6).double().eval(), torch.randn(2, 6, 5, 4, dtype=torch.float64)
    apart = copy.deepcopy(mixer)
    mixer(x).square().sum().backward()
    (apart.conv(x) + apart.conv1(x) + x).square().sum().backward()
    for own, other in zip(mixer.parameters(), apart.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad)


@pytest.mark.parametrize("shape", [(1, 8, 16, 24), (3, 5, 1, 1)])
def test_the_activation_is_the_same_with_and_without_gradients(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 5
    before = x.clone()
    with torch.no_grad(), Called() as called:
        y = wsilu(x)
    assert torch.equal(x, before)
    assert torch.equal(y, wsilu(x))
    assert torch.equal(y, F.silu(4 * x) / 4)
    assert called.names == ["aten.mul.Tensor", "aten.silu_.default", "aten.div_.Tensor"]


@pytest.mark.parametrize("quality", [0.0, 40.0])
def test_no_channel_is_convolved_by_itself_when_coding(quality):
    codec = lic_exp.create_model("dhic_tiny").eval()
    codec.update()
    with Called() as called:
        compressed = codec.compress(torch.rand(1, 3, 64, 64), quality=quality)
        codec.decompress(compressed)
    assert called.kernels
    assert not [kernel for kernel in called.kernels if kernel[1:] == (1, 1, 1)]
