"""Attention of the current context to the previous one, window by window."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lic_exp.models.convolution import Pointwise, compiles_for_gpu, pointwise


class WindowAttention(nn.Module):
    """O + conv_out(x), where O is what every position of x finds in its P x P window of the previous context.

    Windows do not overlap; there are no positions, norms or residuals. `conv_out` acts on x, not on O.

    width: channels of both. heads: width / heads channels each, neighbours. window: P.
    """

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.conv_q = Pointwise(width, width)
        self.conv_k = Pointwise(width, width)
        self.conv_v = Pointwise(width, width)
        self.conv_out = Pointwise(width, width)

    def forward(self, x: Tensor, previous: Tensor) -> Tensor:
        """The next context, from x and previous (B, width, h, w), h and w multiples of P; of their shape."""
        # What is added to all keys alike, a softmax does not see: rounding errors alone would train it.
        key_bias = 0 * self.conv_k.bias
        if compiles_for_gpu(x):
            q, y = _both(x, self.conv_q, self.conv_out.weight, self.conv_out.bias)
            v, k = _both(previous, self.conv_v, self.conv_k.weight, key_bias)
        else:
            q, v = self.conv_q(x), self.conv_v(previous)
            k, y = pointwise(previous, self.conv_k.weight, key_bias), self.conv_out(x)
        found = F.scaled_dot_product_attention(self._windows(q), self._windows(k), self._windows(v))
        return y + self._joined(found, y)

    def _windows(self, x: Tensor) -> Tensor:
        """(B, width, h, w) -> (B windows, heads, P P, width / heads)."""
        batch, _, height, width = x.shape
        down, across, P = height // self.window, width // self.window, self.window
        tiles = x.permute(0, 2, 3, 1).reshape(batch, down, P, across, P, self.heads, -1)
        return tiles.permute(0, 1, 3, 5, 2, 4, 6).reshape(batch * down * across, self.heads, P * P, -1)

    def _joined(self, tiles: Tensor, like: Tensor) -> Tensor:
        """`_windows` undone."""
        batch, channels, height, width = like.shape
        down, across, P = height // self.window, width // self.window, self.window
        rows = tiles.reshape(batch, down, across, self.heads, P, P, -1).permute(0, 1, 4, 2, 5, 3, 6)
        return rows.reshape(batch, height, width, channels).permute(0, 3, 1, 2)


def _both(x: Tensor, one: Pointwise, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Two 1x1 convolutions of x as one product, so that it is read once; the second is given by its parameters."""
    weights, biases = torch.cat((one.weight, weight)), torch.cat((one.bias, bias))
    first, second = pointwise(x, weights, biases).chunk(2, 1)
    return first, second
