"""Exponential moving average of the codec's weights."""

from typing import cast

from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lic_exp.models.base import Codec


class EMA(AveragedModel):
    """w_ema <- decay w_ema + (1 - decay) w after every step; starts at the first step's weights. Buffers are copied."""

    def __init__(self, codec: Codec, decay: float) -> None:
        super().__init__(codec, multi_avg_fn=get_ema_multi_avg_fn(decay))
        self.requires_grad_(False)

    @property
    def codec(self) -> Codec:
        return cast(Codec, self.module)
