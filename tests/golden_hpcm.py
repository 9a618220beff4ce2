"""Weights and image of the golden HPCM case, in closed form, and what the reference made of them."""

import json
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lic_exp.models.hpcm.codec import HPCM, TABLES
from lic_exp.models.hpcm.compat import CORRECTED

FOLDER = Path(__file__).parent / "expected" / "hpcm"
VARIANTS = ("base", "large", "phi", "1b")


def expected() -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and sums of the reference's float64 run."""
    with np.load(FOLDER / "golden_base.npz") as file:
        return dict(file), json.loads((FOLDER / "golden_base.json").read_text())


def keys(variant: str) -> dict[str, list[int]]:
    """The released state dict: {key: shape}."""
    return json.loads((FOLDER / f"keys_{variant}.json").read_text())


def draws(key: str, count: int) -> np.ndarray:
    """So many numbers of mean 0 and variance 1, uniform, by splitmix64 from the key's CRC."""
    with np.errstate(over="ignore"):
        x = (np.uint64(zlib.crc32(key.encode())) << np.uint64(32)) + np.arange(count, dtype=np.uint64)
        x += np.uint64(0x9E3779B97F4A7C15)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
        x ^= x >> np.uint64(31)
    return (2 * ((x >> np.uint64(11)) * 2.0**-53) - 1) * math.sqrt(3)


@torch.no_grad()
def fill(codec: HPCM) -> None:
    """Set all weights; the bounds of the likelihood and the mode's mark stay."""
    for key, tensor in codec.state_dict().items():
        if key not in (*TABLES, CORRECTED) and not key.startswith("entropy_estimation."):
            values = _scaled(key, draws(key, tensor.numel()), tensor.shape)
            tensor.copy_(torch.from_numpy(values.astype(np.float32)).view(tensor.shape))


def _scaled(key: str, r: np.ndarray, shape: torch.Size) -> np.ndarray:
    if key == "means_hyper":
        return 0.3 * r
    if key == "scales_hyper":
        return np.exp(0.4 * r)
    if key.startswith("adaptive_params_list."):
        return 1 + 0.1 * r
    if key.endswith(".weight"):
        gain = 3.0 if key == "g_a.branch.0.weight" else 0.75
        return gain * r / math.sqrt(math.prod(shape[1:]))
    values = 0.1 * r
    if key == "h_s.branch.4.bias" or (key.startswith("y_spatial_prior_s") and "branch_2" in key and len(r) == 640):
        values[:320] += 2.0
    return values


def image(height: int = 256, width: int = 256) -> Tensor:
    """The golden input (1, 3, 256, 256) float32, or its like of another size."""
    c, i, j = np.meshgrid(np.arange(3), np.arange(height), np.arange(width), indexing="ij")
    turn = 2 * np.pi
    v = 0.5 + 0.22 * np.sin(turn * (3 * i / 256 + c / 3)) * np.cos(turn * (5 * j / 256 - c / 5))
    v += 0.14 * np.sin(0.013 * i * j + c) + 0.12 * ((7 * i + 13 * j + 29 * c) % 17 / 16 - 0.5)
    pixels = np.floor(255 * np.clip(v, 0, 1) + 0.5).astype(np.uint8)
    return torch.from_numpy(pixels)[None].float() / 255
