"""The residual blocks that HPCM is made of. Positions in their sequences are the released models' keys."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lic_exp.models.convolution import Depthwise3x3, Pointwise, compiles_for_gpu, pointwise, shifted
from lic_exp.models.hpcm.fused_pointwise import SLOPE, fused_pointwise, fusing_pays


class PartialConv(nn.Module):
    """A dense 3x3 convolution of the first 1 / ratio of the channels; the others pass."""

    def __init__(self, width: int, ratio: int) -> None:
        super().__init__()
        self.convolved = width // ratio
        self.pconv = nn.Conv2d(self.convolved, self.convolved, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((self.first(x), x[:, self.convolved :]), 1)

    def first(self, x: Tensor) -> Tensor:
        """The convolved channels alone."""
        part = x[:, : self.convolved]
        if compiles_for_gpu(x):  # or forward and backward pass would each bring it together in memory
            part = part.contiguous(memory_format=torch.channels_last)
        y: Tensor = self.pconv(part)
        return y


class Residual(nn.Module):
    """y = x + P2(LeakyReLU(P1(mix(x)))), with 1x1 convolutions P1 and P2; widths are those of x and inside."""

    def __init__(self, mix: nn.Module, width: int, inner: int) -> None:
        super().__init__()
        # In place: the convolution before it needs its own result for no gradient, so one copy is kept instead of two.
        activation = nn.LeakyReLU(inplace=True)
        self.branch = nn.Sequential(mix, Pointwise(width, inner), activation, Pointwise(inner, width))

    def forward(self, x: Tensor, shift: Tensor | None = None) -> Tensor:
        """y; shift: `shift_for` of x, where it is known already."""
        mix, first, _, second = self.branch
        if fusing_pays(x):
            x = x.contiguous(memory_format=torch.channels_last)
            return fused_pointwise(x, mix.first(x) if isinstance(mix, PartialConv) else mix(x), first, second)
        y: Tensor
        if not compiles_for_gpu(x):
            y = x + self.branch(x)
            return y
        if isinstance(mix, nn.Conv2d) and isinstance(first, Pointwise):
            mixed = F.conv2d(x, mix.weight, padding=1, groups=mix.groups)
            inner = pointwise(mixed, first.weight, self.shift_for(x) if shift is None else shift)
        else:
            inner = first(mix(x))
        # A graph of what is written in place would move it, and its gradients, to places of their own.
        y = x + second(F.leaky_relu(inner, SLOPE))
        return y

    def shift_for(self, x: Tensor) -> Tensor | None:
        """What P1 adds where the bias of a depthwise mix is left to it: in a graph for a GPU."""
        mix, first, *_ = self.branch
        if compiles_for_gpu(x) and isinstance(mix, nn.Conv2d) and isinstance(first, Pointwise):
            return shifted(first, mix.get_parameter("bias"))
        return None


def partial_block(width: int, ratio: int) -> Residual:
    """The block of the transforms: a partial convolution, four times the width inside."""
    return Residual(PartialConv(width, ratio), width, 4 * width)


def depthwise_block(width: int) -> Residual:
    """The block of the context model: a depthwise 3x3 convolution, twice the width inside."""
    return Residual(Depthwise3x3(width), width, 2 * width)


def down(in_width: int, width: int, kernel: int = 2) -> nn.Conv2d:
    """Half the sides; kernel 2 or 4."""
    return nn.Conv2d(in_width, width, kernel, stride=2, padding=kernel // 2 - 1)


def up(in_width: int, width: int, kernel: int = 2) -> nn.ConvTranspose2d:
    """Twice the sides; kernel 2 or 4."""
    return nn.ConvTranspose2d(in_width, width, kernel, stride=2, padding=kernel // 2 - 1)
