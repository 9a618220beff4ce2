"""What each scale of a codec contributes to its pictures: partial decodes, band by band, and what they cost."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from lic_exp import metrics
from lic_exp.evaluation.diagnosis_files import BANDS, Diagnosis, DiagnosisAbout
from lic_exp.evaluation.evaluator import at, rgb
from lic_exp.evaluation.rates import Rate
from lic_exp.image_identity import pixels_digest
from lic_exp.models.base import Codec, CodecOutput, decodes_partially
from lic_exp.models.coding import in_eval_mode
from lic_exp.ops.bands import band_edges, band_products
from lic_exp.ops.foretold import foretold
from lic_exp.ops.precision import exact_float32, uncompiled

LONGEST_SHOWN = 192
"""Pixels of the longer side of the pictures that are kept."""

NESTED = "its latents are samples of one latent, the coarser ones contained in the finer"
TOO_FEW = "a single image, or too few positions for the channels: it takes more or larger images"


SAME = 1e-3
"""So much, of [0, 1] or of itself, may the decode from all scales differ from that of `forward` by rounding."""


def check_diagnosable(codec: Codec) -> None:
    """Raise ValueError, with the reason, for a codec whose scales cannot be told apart, or that does not say how."""
    _check_scales(codec)
    name, side = type(codec).__name__, codec.facts.downsampling_factor
    with _at_rest(codec):
        parameter = next(codec.parameters())
        x = torch.linspace(0, 1, side**2, dtype=parameter.dtype, device=parameter.device).expand(1, 3, -1)
        x = x.reshape(1, 3, side, side)
        output: CodecOutput = codec.forward(x)
        try:
            sent = codec.bits_by_scale(output.bits)
        except NotImplementedError as error:
            how = "it must say in `bits_by_scale` which bits are of which scale"
            raise ValueError(f"{name}: {error}; {how}") from error
        whole = codec.partial(x, scales=codec.facts.latents)
    if len(sent) < codec.facts.latents:
        raise ValueError(f"{name}: its bits_by_scale has {', '.join(sent)}, but there are {codec.facts.latents} scales")
    same = whole.shape == output.x_hat.shape and torch.allclose(whole, output.x_hat, SAME, SAME, equal_nan=True)
    if not same:
        raise ValueError(f"{name}: its partial gives another picture from all scales than its forward does")


def _check_scales(codec: Codec) -> None:
    name, latents = type(codec).__name__, codec.facts.latents
    if latents < 2:
        raise ValueError(f"{name} has one latent, so there are no scales to tell apart; DHIC and HPCM have several")
    if not decodes_partially(codec):
        raise ValueError(
            f"{name} has {latents} latents, but defines no `partial` that decodes from the first of them (Codec in "
            "lic_exp/models/base.py)"
        )


def diagnose(
    codec: Codec,
    images: Sequence[tuple[str, Tensor]],
    rates: Sequence[Rate] | None,
    device: torch.device,
    *,
    step: int | None,
    code: str | None = None,
    data: str | None = None,
) -> Diagnosis:
    """The diagnosis of a codec on images (1, 3, H, W) in [0, 1]; its modes are as before afterwards.

    rates: of a variable-rate codec; None of others. Eval mode, float32 without TF32, and nothing is drawn at random.
    Raises ValueError without images, and for a codec of one latent or without partial decodes.
    """
    _check_scales(codec)
    if not images:
        raise ValueError("no images to diagnose a codec on")
    chosen: list[Rate | None] = [*rates] if rates else [None]
    # Tens of megabytes of latents at most: the images are few.
    rows: list[list[_OfImage]] = []
    with _at_rest(codec):
        for _, image in images:
            x = image.to(device, torch.float32)
            rows.append([_measured(codec, x, rate) for rate in chosen])
    by_rate = list(zip(*rows, strict=True))
    middle = len(chosen) // 2
    shown, amplitudes = _pictured(by_rate[middle][0].signals)
    guesses = [_foretold(codec, [one.latents for one in found]) for found in by_rate]
    unknown = NESTED if codec.facts.nested_latents else TOO_FEW
    about: DiagnosisAbout = {
        "step": step,
        "images": [_described(name, image) for name, image in images],
        "qualities": [rate.quality for rate in rates or []],
        "lmbdas": [rate.lmbda for rate in rates or []],
        "sent": list(by_rate[0][0].bpp),
        "edges": band_edges(BANDS),
        "unforetold": unknown if any(None in guess for guess in guesses) else "",
        "shown": (images[0][0], middle),
        "data": data,
        "code": code,
    }
    return Diagnosis(
        about,
        products=np.array([[one.products for one in found] for found in by_rate]),
        bpp=np.array([[list(one.bpp.values()) for one in found] for found in by_rate]),
        mse=np.array([[one.mse for one in found] for found in by_rate]),
        foretold=np.array([[math.nan if value is None else value for value in guess] for guess in guesses]),
        shown=shown,
        amplitudes=amplitudes,
    )


@dataclass(frozen=True)
class _OfImage:
    """One image at one rate. signals: X and c_0, ..., c_L (2 + L, 3, H, W). latents: each (C, h, w), on the CPU."""

    signals: Tensor
    products: NDArray[np.float64]
    bpp: dict[str, float]
    mse: list[float]
    latents: list[Tensor]


def _measured(codec: Codec, x: Tensor, rate: Rate | None) -> _OfImage:
    height, width = x.shape[-2:]
    padded = codec.pad(x)
    output: CodecOutput = codec.forward(padded, **at(rate))
    counts = range(codec.facts.latents + 1)
    decodes = [codec.crop(codec.partial(padded, **at(rate), scales=count), height, width) for count in counts]
    mean = x.mean((2, 3), keepdim=True)
    before = [mean, *decodes]
    signals = torch.cat([x, *(now - last for last, now in zip(before, decodes, strict=False))])
    return _OfImage(
        signals.cpu(),
        band_products(signals, BANDS).cpu().numpy(),
        {name: float(bits) / (height * width) for name, bits in codec.bits_by_scale(output.bits).items()},
        [float(metrics.mse(decode.clamp(0, 1), x)) for decode in decodes],
        [latent[0].cpu() for latent in output.latents],
    )


def _foretold(codec: Codec, latents: Sequence[Sequence[Tensor]]) -> list[float | None]:
    """Of every latent but the finest, how much the next finer one foretells. latents: of each image, coarse to fine."""
    by_scale = list(zip(*latents, strict=True))
    if codec.facts.nested_latents:
        return [None] * (len(by_scale) - 1)
    return [foretold(coarse, fine) for coarse, fine in pairwise(by_scale)]


def _pictured(signals: Tensor) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """`Diagnosis.shown` and `amplitudes` of signals (2 + L, 3, H, W)."""
    height, width = signals.shape[-2:]
    shrink = max(1.0, max(height, width) / LONGEST_SHOWN)
    size = (max(1, round(height / shrink)), max(1, round(width / shrink)))
    small = signals if shrink == 1 else F.interpolate(signals, size, mode="area")
    original, contributions = small[:1].clamp(0, 1) * 255, small[1:]
    amplitudes = contributions.abs().amax((1, 2, 3))
    scaled = 128 + 127 * contributions / amplitudes.clamp(min=torch.finfo(small.dtype).tiny)[:, None, None, None]
    shown = torch.cat((original, scaled)).round().to(torch.uint8).numpy()
    return shown, np.array([1.0, *amplitudes.double().tolist()])


def _described(name: str, image: Tensor) -> tuple[str, int, int, str]:
    height, width = image.shape[-2:]
    return name, height, width, pixels_digest(height, width, rgb(image).tobytes())


@contextmanager
def _at_rest(codec: Codec) -> Iterator[None]:
    """Eval mode, in the arithmetic of validations; modes are as before afterwards."""
    with torch.no_grad(), exact_float32(), uncompiled(), in_eval_mode(codec):
        yield
