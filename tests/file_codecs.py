"""Codecs whose weights are the same on every machine and code more than zeros, and pictures for them."""

import math
from functools import cache

import golden_dhic
import golden_hpcm
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import lic_exp
from lic_exp.models.base import Codec
from lic_exp.models.dhic.codec import DHIC
from lic_exp.models.hpcm.codec import HPCM
from lic_exp.pretrained.catalogue import card, names

FOUR = ("dhic_tiny", "hpcm_tiny", "mean_scale_hyperprior_tiny", "joint_autoregressive_tiny")
"""A codec of every kind that codes its own way."""

GAINS = {"g_a.6.weight": 12.0, "h_a.4.weight": 4.0, "g_s.6.weight": 0.02}
"""Of last layers: so that latents are more than zeros, and pictures are no black and white."""


@cache
def codec_of(name: str) -> Codec:
    """The codec of this name, in eval mode, with weights in closed form. Nobody changes it."""
    codec = lic_exp.create_model(name).eval()
    if isinstance(codec, DHIC):
        golden_dhic.fill(codec)
    elif isinstance(codec, HPCM):
        golden_hpcm.fill(codec)
    else:
        _fill(codec)
    return codec


@torch.no_grad()
def _fill(codec: Codec) -> None:
    for key, parameter in codec.named_parameters():
        if key.endswith(("weight", "bias")) or "_bias" in key:
            values = golden_hpcm.draws(key, parameter.numel())
            scale = GAINS.get(key, 1.0) / math.sqrt(math.prod(parameter.shape[1:])) if parameter.dim() == 4 else 0.1
            parameter.copy_(torch.from_numpy((scale * values).astype(np.float32)).view(parameter.shape))


def is_stand_in(name: str) -> bool:
    """Whether this is a pretrained codec whose weights are for tests alone, of which nothing was measured."""
    return name in names() and not card(name)["figures"]


def pixels(height: int, width: int) -> NDArray[np.uint8]:
    """An RGB picture (H, W, 3)."""
    x = golden_dhic.image(height, width)[0].permute(1, 2, 0)
    return np.ascontiguousarray((x * 255).round().to(torch.uint8).numpy())


def encoders_picture(codec: Codec, array: NDArray[np.uint8], quality: float | None = None) -> NDArray[np.uint8]:
    """What the encoder itself makes of a picture (H, W, 3): `Codec.reconstruct`, as 8 bits."""
    height, width = array.shape[:2]
    x: Tensor = torch.from_numpy(array).permute(2, 0, 1)[None] / 255
    rate = {} if quality is None else {"quality": quality}
    x_hat = codec.crop(codec.reconstruct(codec.compress(codec.pad(x), **rate)), height, width)
    levels: NDArray[np.uint8] = (x_hat[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    return levels
