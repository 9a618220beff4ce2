"""Runs HPCM's released code, and writes what it makes of the golden weights: expected/hpcm/released.json.

    python tests/released_hpcm.py CHECKOUT

CHECKOUT: of lyq133/LIC-HPCM at commit c271cfe, its two extensions built beside `src/entropy_models/__init__.py`. Runs
on the CPU, in float64, without noise in training; a minute a case.
"""

import argparse
import importlib
import json
import sys
import zlib
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import golden_hpcm as golden
import torch
from torch import Tensor

import lic_exp

CASES = {"large": (512, 256, 1), "phi": (256, 512, 2)}
"""Height, width and images a batch; the training is that of the whole batch, the strings are the first image's."""

MODULES = {"large": "HPCM_Large", "phi": "HPCM_Base_PhiContext"}
LMBDA = 0.013


def images(height: int, width: int, count: int) -> Tensor:
    """(count, 3, height, width) float64."""
    return torch.cat([golden.image(height, width).roll(17 * index, 3) for index in range(count)]).double()


def released(variant: str) -> Any:
    """The released module with the golden weights."""
    module = importlib.import_module(f"src.models.{MODULES[variant]}")
    ones = torch.ones
    with patch("torch.ones", lambda size, **kwargs: ones(size)):  # it asks for CUDA
        codec = module.HPCM().eval()
    own = lic_exp.create_model(f"hpcm_{variant}", compat=True)
    golden.fill(own)
    own.update()
    with torch.no_grad():
        for name, parameter in codec.named_parameters():
            parameter.copy_(own.get_parameter(name))
    codec.update(own.scale_table)
    return codec.double()


def measured(variant: str) -> dict[str, Any]:
    """What the released codec makes of its case."""
    height, width, count = CASES[variant]
    codec, x = released(variant), images(height, width, count)
    with torch.no_grad():
        evaluated = codec(x)
        strings = codec.compress(x[:1])["strings"]
    codec.train().add_noise = partial(torch.add, 0)
    output = codec(x)
    bits = {name: -values.log2().sum() for name, values in output["likelihoods"].items()}
    loss = LMBDA * 255**2 * (output["x_hat"] - x).square().mean() + sum(bits.values()) / (count * height * width)
    loss.backward()
    return {
        "x_hat_sum": evaluated["x_hat"].sum().item(),
        "x_hat_square_sum": evaluated["x_hat"].square().sum().item(),
        "bits": {name: -values.log2().sum().item() for name, values in evaluated["likelihoods"].items()},
        "strings": [{"bytes": len(string), "crc32": zlib.crc32(string)} for string in strings],
        "loss": loss.item(),
        "gradient_norms": {name: parameter.grad.norm().item() for name, parameter in codec.named_parameters()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path)
    sys.path.append(str(parser.parse_args().checkout))
    found = {variant: measured(variant) for variant in CASES}
    (golden.FOLDER / "released.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
