"""Convolutions, and the memory they want: 1x1 convolutions of narrow codecs are matrix products on a CPU too."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lic_exp.models.convolution import Pointwise, compiles_for_gpu

NARROW = 128
"""Widest codec whose features are kept channels-last on a CPU; above it torch's own 1x1 kernels are no slower."""


def memory_format(x: Tensor, widths: Sequence[int]) -> torch.memory_format:
    """The one for the features of images x (B, C, h, w) in a codec of these widths."""
    narrow = x.device.type == "cpu" and max(widths) <= NARROW
    last = narrow or compiles_for_gpu(x) or not x.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format


class Conv1x1(Pointwise):
    """A 1x1 convolution. Parameters, keys and result are nn.Conv2d's.

    On a CPU and on channels-last memory it is one matrix product, and its result is channels-last.
    """

    def forward(self, x: Tensor) -> Tensor:
        rows = x.permute(0, 2, 3, 1)
        # A single position is contiguous either way: which memory a convolution gives it, a compiler guesses wrong.
        either = torch.compiler.is_compiling() and rows.is_contiguous()
        if x.device.type != "cpu" or (x.is_contiguous() and not either) or not rows.is_contiguous():
            return super().forward(x)
        return F.linear(rows, self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


class WeightedConv2d(nn.Conv2d):
    """A 3x3 convolution without bias whose kernel is multiplied by Phi = outer(a, a), a = (0.75, 1, 0.75)."""

    alfa: Tensor
    Phi: Tensor

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=3, padding=1, bias=False)
        alfa = torch.tensor([0.75, 1.0, 0.75])
        self.register_buffer("alfa", alfa)
        self.register_buffer("Phi", torch.outer(alfa, alfa))

    def reset_parameters(self) -> None:
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.Phi, padding=1)
