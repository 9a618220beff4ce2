"""The residual block that everything in DHIC is made of, and its parts."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lic_exp.models.convolution import Depthwise3x3
from lic_exp.models.dhic.convolution import Conv1x1
from lic_exp.ops.precision import autocast_dtype
from lic_exp.sections import FORWARD, Section


def wsilu(x: Tensor) -> Tensor:
    """WSiLU(x) = x sigmoid(4 x), as torch's one kernel for a sigmoid(a) at a = 4 x."""
    if torch.is_grad_enabled():
        return F.silu(4 * x) / 4
    return F.silu(4 * x, inplace=True).div_(4)


class FFN(nn.Module):
    """y = x + P2(fold(WSiLU(P1 x))), where fold adds the two halves of the channels.

    ratio: channels of P1's result over those of x.
    """

    def __init__(self, width: int, ratio: int) -> None:
        super().__init__()
        self.pw1 = Conv1x1(width, ratio * width)
        self.pw2 = Conv1x1(ratio * width // 2, width)

    def forward(self, x: Tensor) -> Tensor:
        one, other = wsilu(self.pw1(x)).chunk(2, 1)
        y: Tensor = x + self.pw2(one + other)
        return y


class RepDW(nn.Module):
    """y = DW3x3(x) + DW1x1(x) + x, depthwise: three branches that are one convolution in training and after `fuse`.

    summed: its kernel and bias in training, where they are made for many at once (`summed_together`).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.summed: tuple[Tensor, Tensor] | None = None
        self.conv = Depthwise3x3(width)
        self.conv1: nn.Conv2d | None = nn.Conv2d(width, width, 1, groups=width)

    def forward(self, x: Tensor) -> Tensor:
        if self.conv1 is None or not self.training:
            y: Tensor = self.conv(x)
            return y if self.conv1 is None else y + self._scaled(self.conv1, x) + x
        # One pass over the features instead of four; the sum of kernels is small.
        return F.conv2d(x, *(self.summed or self._sum(self.conv1)), padding=1, groups=len(self.conv.weight))

    @staticmethod
    def _scaled(conv1: nn.Conv2d, x: Tensor) -> Tensor:
        """`conv1` of x. On a CPU torch calls a kernel for each channel of a depthwise 1x1 convolution."""
        if x.device.type != "cpu" or torch.compiler.is_compiling():
            y: Tensor = conv1(x)
            return y
        weight, bias = (tensor.view(1, -1, 1, 1) for tensor in (conv1.weight, conv1.get_parameter("bias")))
        return x * weight + bias

    @torch.no_grad()
    def fuse(self) -> None:
        """Fold all branches into `conv`. The keys of `conv1` are gone afterwards."""
        if self.conv1 is not None:
            kernel, bias = self._sum(self.conv1)
            self.conv.weight.copy_(kernel)
            self.conv.get_parameter("bias").copy_(bias)
            self.conv1 = None

    def _sum(self, conv1: nn.Conv2d) -> tuple[Tensor, Tensor]:
        """Kernel (C, 1, 3, 3) and bias (C,) of all three branches."""
        kernel = self.conv.weight + F.pad(conv1.weight + 1, (1, 1, 1, 1))
        return kernel, self.conv.get_parameter("bias") + conv1.get_parameter("bias")


def mixers(codec: nn.Module) -> list[RepDW]:
    return [module for module in codec.modules() if isinstance(module, RepDW)]


@contextmanager
def summed_together(codec: nn.Module) -> Iterator[None]:
    """Inside, each `RepDW` finds its sums made for a forward pass in training: by a few operations for all.

    They have the numbers of autocast, where it would convert them. Those that are frozen add up for themselves, or all
    that comes before them would get gradients.
    """
    trained = (mixer for mixer in mixers(codec) if any(weight.requires_grad for weight in mixer.parameters()))
    apart = [(mixer, mixer.conv, mixer.conv1) for mixer in trained if mixer.conv1 is not None]
    if not apart:
        yield
        return
    branches = [branch for _, *both in apart for branch in both]
    weights = [*(branch.weight for branch in branches), *(branch.get_parameter("bias") for branch in branches)]
    with Section(FORWARD):
        made = _Sums.apply(*weights)
    try:
        for (mixer, *_), kernel, bias in zip(apart, made[: len(apart)], made[len(apart) :], strict=True):
            mixer.summed = kernel, bias
        yield
    finally:
        for mixer, *_ in apart:
            mixer.summed = None


class _Sums(torch.autograd.Function):
    """Of n mixers 2 n weights, (C, 1, 3, 3) and (C, 1, 1, 1) in turn, and 2 n biases; to n kernels, then n biases."""

    @staticmethod
    def forward(context: Any, *weights: Tensor) -> tuple[Tensor, ...]:
        count = len(weights) // 4
        sizes = [len(bias) for bias in weights[2 * count :: 2]]
        kernel = torch.cat(weights[: 2 * count : 2])
        kernel[:, :, 1:2, 1:2] += torch.cat(weights[1 : 2 * count : 2]) + 1
        bias = torch.cat(weights[2 * count :: 2]) + torch.cat(weights[2 * count + 1 :: 2])
        converted = autocast_dtype(kernel.device)
        if kernel.dtype == torch.float32 and converted is not None:
            kernel, bias = kernel.to(converted), bias.to(converted)
        context.sizes, context.dtype = sizes, weights[0].dtype
        return (*kernel.split(sizes), *bias.split(sizes))

    @staticmethod
    @once_differentiable
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        count = len(context.sizes)
        kernel = torch.cat([gradient.contiguous() for gradient in gradients[:count]]).to(context.dtype)
        bias = torch.cat(gradients[count:]).to(context.dtype)
        centre = kernel[:, :, 1:2, 1:2].clone(memory_format=torch.contiguous_format)
        return (*_in_turn(kernel, centre, context.sizes), *_in_turn(bias, bias.clone(), context.sizes))


def _in_turn(one: Tensor, other: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    """The parts of both, of these sizes."""
    return [part for parts in zip(one.split(sizes), other.split(sizes), strict=True) for part in parts]


class BaseBlock(nn.Module):
    """y = A x + O FFN(P_b RepDW(WSiLU(P_a x))), where A and O are 1x1 where widths differ and absent where not."""

    def __init__(self, in_width: int, width: int, out_width: int, ffn_ratio: int) -> None:
        super().__init__()
        self.pc1 = Conv1x1(in_width, width)
        self.mixer = RepDW(width)
        self.pc2 = Conv1x1(width, width)
        self.ffn = FFN(width, ffn_ratio)
        self.outlayer = Conv1x1(width, out_width) if width != out_width else None
        self.adaptor = Conv1x1(in_width, out_width) if in_width != out_width else None

    @classmethod
    def repeated(cls, times: int, width: int, ffn_ratio: int) -> list[Self]:
        """So many blocks of one width."""
        return [cls(width, width, width, ffn_ratio) for _ in range(times)]

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.ffn(self.pc2(self.mixer(wsilu(self.pc1(x)))))
        y = y if self.outlayer is None else self.outlayer(y)
        return y + (x if self.adaptor is None else self.adaptor(x))
