"""Weights and image of the golden DHIC case: closed forms and seeded draws, so that no file has to hold them."""

import json
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from numpy.random import Generator, default_rng
from torch import Tensor

from lic_exp.models.dhic.codec import DHIC

FOLDER = Path(__file__).parent / "expected" / "dhic"
HALVED = (".pc1.weight", ".pc2.weight", ".pw1.weight", ".pw2.weight", "mixer.conv.weight", "mixer.conv1.weight")


def expected() -> dict[str, np.ndarray]:
    """What the reference gave."""
    with np.load(FOLDER / "golden.npz") as file:
        return dict(file)


def keys() -> dict[str, list]:
    """The released state dict: {key: [shape, dtype, param or buffer]}."""
    return json.loads((FOLDER / "keys.json").read_text())


def drawn(text: str) -> Generator:
    return default_rng(zlib.crc32(text.encode()))


@torch.no_grad()
def fill(codec: DHIC) -> None:
    """Set every parameter from draws that its key seeds."""
    for key, parameter in codec.named_parameters():
        values = drawn(key).standard_normal(tuple(parameter.shape))
        parameter.copy_(torch.from_numpy(_scaled(key, values).astype(np.float32)))


def _scaled(key: str, values: np.ndarray) -> np.ndarray:
    if key.endswith("_lmb_embedding"):
        return 0.1 * values
    if key.endswith("_scale_embedding"):
        return 0.2 * values - 0.5
    if key.endswith("_bias"):
        return 0.5 * values
    if key.endswith(".bias"):
        return 0.05 * values
    gain = 0.8 if key.endswith("posterior.adaptor.weight") else 0.5 if key.endswith(".prior.weight") else 0.7
    gain = 0.4 if key.endswith(HALVED) else gain
    return gain * values / math.sqrt(np.prod(values.shape[1:]))


def image(height: int = 256, width: int = 256) -> Tensor:
    """The golden input (1, 3, 256, 256) float32, or its like of another size."""
    c, i, j = np.meshgrid(np.arange(3), np.arange(height), np.arange(width), indexing="ij")
    turn = 2 * np.pi
    x = 0.5 + 0.22 * np.sin(turn * (i * (c + 1) / 64 + j / 37)) + 0.13 * np.cos(turn * (j * (c + 2) / 19 - i / 11))
    x += 0.10 * np.sin(turn * i * j / (8 * height)) + 0.05 * drawn("image").standard_normal(x.shape)
    return torch.from_numpy(np.clip(x, 0, 1).astype(np.float32))[None]


def make_noise_golden(codec: DHIC) -> None:
    """Replace the noise of every latent block by the golden training case's."""
    for number, block in enumerate(codec.latent_blocks(), 1):
        block.noise.forward = lambda like, number=number: torch.from_numpy(
            drawn(f"noise.z{number}").random(tuple(like.shape)) - 0.5
        )
