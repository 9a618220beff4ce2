"""The quality of a codec of a range of rates at which one picture's file has a wanted rate, distortion or size.

The codec's estimates say about where it is; files that are made, there, decide.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import torch

from lic_exp.evaluation.search import OutOfReachError, Target, find_quality
from lic_exp.files.coding import decode_picture, encode_picture, rate_of, tiling_of
from lic_exp.files.parsing import parse
from lic_exp.files.pixels import Picture, planes
from lic_exp.models.base import Codec, VariableRateCodec
from lic_exp.models.coding import coding_device, coding_turn, in_eval_mode
from lic_exp.ops.precision import exact_float32

Wanted = Literal["bpp", "psnr", "bytes"]

UNITS: dict[Wanted, str] = {"bpp": "bpp", "psnr": "dB", "bytes": "bytes"}

FILLED = 0.995
"""The share of the bytes that it may have which is aimed at: within the search's tolerance of it, it is not above."""

ROWS = 256
"""Of two pictures, compared at once."""


class FileTargetError(ValueError):
    """No quality of this codec makes such a file of this picture; the message says what can be had."""


@dataclass(frozen=True)
class FileTarget:
    """What one file shall be.

    wanted: "bpp", the bits of its strings over the picture's pixels; "psnr" [dB] of the decoded colour; "bytes", of the
        whole file, which are never more than `value`.
    """

    wanted: Wanted
    value: float

    def __str__(self) -> str:
        return f"{self.value:.12g} {UNITS[self.wanted]}"


@dataclass(frozen=True)
class FileMade:
    """data: the file. quality: it was made at. reached: what was wanted, of it. met: within the search's tolerance, or
    not above the bytes that were allowed.
    """

    data: bytes
    quality: float
    reached: float
    met: bool


def one_target(
    quality: float | None, *, bpp: float | None = None, psnr: float | None = None, most_bytes: int | None = None
) -> FileTarget | None:
    """The target that is given; None where none is. Raises FileTargetError where a quality or two targets are, too."""
    given: dict[Wanted, float | None] = {"bpp": bpp, "psnr": psnr, "bytes": most_bytes}
    targets = [FileTarget(wanted, value) for wanted, value in given.items() if value is not None]
    if len(targets) + (quality is not None) > 1:
        listed = [*([] if quality is None else [f"quality {quality:g}"]), *map(str, targets)]
        raise FileTargetError(f"a file cannot meet {' and '.join(listed)}: give one of them")
    return targets[0] if targets else None


def check_target(codec: Codec, target: FileTarget) -> VariableRateCodec:
    """The codec. Raises FileTargetError where it has one rate, and for a target that no file can have."""
    if not isinstance(codec, VariableRateCodec):
        raise FileTargetError(f"{type(codec).__name__} has one rate, which cannot be made to meet {target}")
    if not 0 < target.value < math.inf:
        raise FileTargetError(f"{target}: what is wanted must be a number above 0")
    return codec


def check_rate(codec: Codec, *, quality: float | None, target: FileTarget | None) -> None:
    """Raise FileTargetError where the codec has not the rates that this quality or target asks for."""
    if target is not None:
        check_target(codec, target)
    elif quality is not None:
        try:
            rate_of(codec, quality)
        except ValueError as error:
            raise FileTargetError(str(error)) from error
        if isinstance(codec, VariableRateCodec) and quality > codec.max_quality:
            name = type(codec).__name__
            raise FileTargetError(f"quality {quality:g} is outside {name}'s range of 0 to {codec.max_quality:g}")


def encode_for(
    picture: Picture, codec: Codec, target: FileTarget, *, portable: bool | None = None, **how: Any
) -> FileMade:
    """The file of a picture that meets a target, as `lic_exp.evaluation.search` has it, or that fills its bytes.

    portable, how: what else `encode_picture` is told. Raises FileTargetError, and what `encode_picture` raises.
    """
    variable = check_target(codec, target)
    pixels, files = picture.height * picture.width, dict[float, bytes]()

    def made(quality: float) -> bytes:
        if quality not in files:
            files[quality] = encode_picture(picture, variable, quality=quality, portable=portable, **how)
        return files[quality]

    def real(quality: float) -> float:
        if target.wanted == "bytes":
            return len(made(quality))
        if target.wanted == "bpp":
            return 8 * parse(made(quality)).string_bytes / pixels
        return psnr_of(decode_picture(parse(made(quality)), variable), picture)

    def estimated(quality: float) -> float:
        found = estimate(picture, variable, quality, **how)
        if target.wanted == "bytes":
            smallest = made(0.0)
            return found["bpp"] * pixels / 8 + len(smallest) - parse(smallest).string_bytes
        return found[target.wanted]

    if target.wanted == "bytes":
        return _filling(target, made, real, estimated, files, variable.max_quality)
    try:
        sought = Target(target.wanted, target.value)
        found = find_quality(sought, cache(estimated), real, max_quality=variable.max_quality)
    except OutOfReachError as error:
        raise FileTargetError(str(error)) from error
    return FileMade(made(found.quality), found.quality, found.reached, found.met)


def _filling(
    target: FileTarget,
    made: Callable[[float], bytes],
    real: Callable[[float], float],
    estimated: Callable[[float], float],
    files: dict[float, bytes],
    max_quality: float,
) -> FileMade:
    """The largest file that was made and has no more bytes than are allowed."""
    most = math.floor(target.value)
    if len(made(0.0)) > most:
        raise FileTargetError(f"{target} are too few: the smallest file of this picture has {len(made(0.0))}")
    try:
        find_quality(Target("bpp", FILLED * most), cache(estimated), real, max_quality=max_quality)
    except OutOfReachError:  # the best quality leaves room
        made(max_quality)
    quality = max((quality for quality, data in files.items() if len(data) <= most), key=lambda q: (len(files[q]), q))
    return FileMade(files[quality], quality, len(files[quality]), True)


@torch.no_grad()
def estimate(picture: Picture, codec: VariableRateCodec, quality: float, **how: Any) -> dict[str, float]:
    """The bpp and PSNR [dB] that the codec foretells of a picture at a quality, seams of tiles left out."""
    device, bits, squares = coding_device(codec), 0.0, 0.0
    with coding_turn, in_eval_mode(codec), exact_float32():
        for tile in tiling_of(picture.height, picture.width, codec, **how):
            x = torch.from_numpy(planes(picture, tile.top, tile.left, tile.height, tile.width))[None].to(device)
            output = codec(codec.pad(x), quality)
            bits += sum(latent.double().sum().item() for latent in output.bits.values())
            x_hat = codec.crop(output.x_hat, tile.height, tile.width).clamp(0, 1)
            squares += (x_hat - x).square().mean().item() * tile.height * tile.width
    pixels = picture.height * picture.width
    return {"bpp": bits / pixels, "psnr": _decibels(squares / pixels)}


def psnr_of(decoded: Picture, original: Picture) -> float:
    """PSNR [dB] of the colour, on the scale on which white is 1; inf where all samples are equal."""
    squares = 0.0
    for top in range(0, original.height, ROWS):
        rows = min(ROWS, original.height - top)
        one, other = (planes(picture, top, 0, rows) for picture in (decoded, original))
        squares += float(np.square(one - other).mean(dtype=np.float64)) * rows
    return _decibels(squares / original.height)


def _decibels(mean_square: float) -> float:
    return math.inf if mean_square == 0 else -10 * math.log10(mean_square)
