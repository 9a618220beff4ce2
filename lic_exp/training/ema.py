"""Exponential moving average of the codec's weights."""

from copy import deepcopy

import torch
from torch import Tensor, nn

from lic_exp.models.base import Codec
from lic_exp.private_torch import approach_all, copy_all
from lic_exp.sections import OPTIMIZER, Section


class EMA(nn.Module):
    """w_ema <- decay w_ema + (1 - decay) w after every step; starts at the first step's weights. Buffers are copied.

    torch's AveragedModel computes the same bits, on a GPU within rounding, but cannot leave a step out without the
    host looking at a value.
    """

    n_averaged: Tensor

    def __init__(self, codec: Codec, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.module = deepcopy(codec)
        device = next(codec.parameters()).device
        self.register_buffer("n_averaged", torch.zeros((), dtype=torch.long, device=device))
        self.requires_grad_(False)

    @property
    def codec(self) -> Codec:
        return self.module

    @Section(OPTIMIZER)
    @torch.no_grad()
    def update(self, codec: Codec, updated: Tensor) -> None:
        """Take in the codec's weights, unless `updated`, a bool scalar on their device, is false: they did not change.

        Whether it is, the host need not know.
        """
        share = (1 - self.decay * (self.n_averaged > 0).double()) * updated
        averages, weights = list(self.module.parameters()), list(codec.parameters())
        if self.n_averaged.is_cuda:  # where a kernel each takes longer than the recorded step leaves
            approach_all(averages, weights, share.float())
        else:
            shares = {dtype: share.to(dtype) for dtype in {average.dtype for average in averages}}
            for average, weight in zip(averages, weights, strict=True):
                average.lerp_(weight, shares[average.dtype])
        copy_all(list(self.module.buffers()), list(codec.buffers()))
        self.n_averaged += updated
