"""Rate and distortion of what a receiver would get: coded to bytes, decoded from them, measured."""

import dataclasses
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor

from lic_exp.data.images import ImageError
from lic_exp.evaluation.pictures import unless_it_fails, write_picture
from lic_exp.evaluation.rates import Rate
from lic_exp.evaluation.report import Evaluation
from lic_exp.evaluation.sharing import FoundRows, by_all_ranks
from lic_exp.evaluation.timing import timed
from lic_exp.evaluation.unfinished import EvaluationError, KeptRows, complain
from lic_exp.evaluation.watching import watch
from lic_exp.image_identity import pixels_digest
from lic_exp.metrics import MIN_MS_SSIM_SIDE, bits_per_pixel, ms_ssim, ms_ssim_db, psnr, to_8bit
from lic_exp.models.base import Codec, Compressed
from lic_exp.models.coding import coding_device, in_eval_mode
from lic_exp.models.compressai_coding import comparing_pictures
from lic_exp.naming import UniqueNames, picture_stem
from lic_exp.ops.precision import exact_float32, repeatable_kernels
from lic_exp.ops.ranks import is_first
from lic_exp.picture_metrics import PictureMetric
from lic_exp.text import visible
from lic_exp.tracking import names

log = logging.getLogger(__name__)

GIVE_UP_AFTER = 3
"""Images that could not be coded, and none that could: then it is the codec's fault."""


@dataclasses.dataclass(frozen=True)
class Coded:
    """One image's way through the codec.

    x_hat: what the decoder made of the bytes (1, 3, H, W), cropped to the original size.
    bits: transmitted [bit]. exact, max_abs_difference: decoder against the encoder's own reconstruction.
    """

    x_hat: Tensor
    bits: int
    encode_s: float
    decode_s: float
    exact: bool
    max_abs_difference: float


def evaluate(
    codec: Codec,
    images: Iterable[tuple[str, Tensor | ImageError]],
    *,
    folder: Path,
    pictures: int,
    device: torch.device,
    progress: Console | None = None,
    name: str | None = None,
    rates: Sequence[Rate] | None = None,
    metrics: Sequence[PictureMetric] = (),
    before_each: Callable[[], None] = lambda: None,
    about: Mapping[str, Any] = MappingProxyType({}),
    beside: Sequence[Mapping[str, Any]] = (),
) -> Evaluation:
    """Code every image of `images` to bytes and back, and write the results and pictures into `folder`.

    folder: made here and now where it is missing, and not once more where it vanishes meanwhile.
    images: (name, x) with x (1, 3, H, W) in [0, 1], of any size: padded for the codec, cropped afterwards; or what is
        wrong with an image in the place of x.
    pictures: how many of the first images are drawn; of several rates at the lowest and the highest.
    device: where to code, but for a codec that codes on the CPU alone; the codec is moved there and stays.
    progress: where to say how far it is; None says nothing.
    name: of the results; the codec's class name where None.
    rates: of a variable-rate codec, one or more; None for any other.
    metrics: what else is measured of the 8-bit pictures.
    before_each: called before an image is coded, at each rate; may raise to end it there.
    about: what else the results shall say of themselves, e.g. where the images are.
    beside: of each image what else its rows shall say, by column; nothing where there is no entry.

    Of several ranks (`lic_exp.ops.ranks`) each codes its share of the images and returns the same; the first alone
    writes. What it is given then is the same on all, and `before_each` raises on none of them.

    Runs in float32 without autocast and TF32. The codec's tables are updated; every module is left in the mode it
    was in. The first image is coded once more beforehand, so that no timing pays for start-up.

    Raises ValueError without images. An image that cannot be read or coded does not stop the others, whose rows are
    kept (`lic_exp.evaluation.unfinished.KEPT`); but then there are no results, and what is raised at the end names it:
    an ImageError or `EvaluationError`.
    """
    rows: list[dict[str, Any]] = []
    failures: list[Exception] = []
    folder.mkdir(parents=True, exist_ok=True)
    todo: list[Rate | None] = [*sorted(rates or [], key=lambda rate: rate.quality)] or [None]
    shown, warm = UniqueNames(visible), True

    def coded(place: int, image: str, original: Tensor | ImageError) -> FoundRows:
        """The rows of one image, at every rate."""
        nonlocal warm
        found: list[dict[str, Any]] = []
        drawn = {todo[0], todo[-1]} if place < pictures else set()
        try:
            if isinstance(original, ImageError):
                raise original
            for rate in todo:
                before_each()
                row, x_hat = _row(codec, (place, image), original, rate, device, folder, drawn, warm=warm)
                warm = False
                found.append(row | _measured_further(image, metrics, original, x_hat))
        except (ImageError, EvaluationError) as error:
            return image, [], error
        before_each()
        return image, found, None

    watched = enumerate(watch(images, progress, failures))
    named = ((place, shown.of(own), original) for place, (own, original) in watched)
    with as_deployed(codec, device), KeptRows(folder) as kept:
        for place, (image, found, error) in enumerate(by_all_ranks(named, coded, drawn=pictures)):
            if error is not None:
                log.warning("%s is left out: %s", image, error)
                failures.append(error)
                if not rows and len(failures) == GIVE_UP_AFTER and isinstance(error, EvaluationError):
                    break
                continue
            whole = [{**row, **(beside[place] if place < len(beside) else {})} for row in found]
            if is_first():
                kept.add(whole)
            rows += whole
    complain(failures, kept)
    if not rows:
        raise ValueError("no images to evaluate")
    import pandas as pd

    table = pd.DataFrame(rows)
    if rates:
        table = table.sort_values("rate", kind="stable", ignore_index=True)
    further = [metric.name for metric in metrics]
    evaluation = Evaluation(name or type(codec).__name__, table, coding_device(codec), further)
    if is_first():
        evaluation.write(folder, about)
        kept.drop()
    return evaluation


def _row(
    codec: Codec,
    named: tuple[int, str],
    original: Tensor,
    rate: Rate | None,
    device: torch.device,
    folder: Path,
    drawn: Collection[Rate | None],
    *,
    warm: bool,
) -> tuple[dict[str, Any], Tensor]:
    """The row of one image at one rate, what was decoded, and its picture where this is of the rates to be drawn.

    named: the image's place and name. warm: code it once more beforehand. Raises EvaluationError.
    """
    index, image = named
    with _named(image, original, rate):
        x = original.to(device, torch.float32)
        if warm:
            code(codec, x, rate)
        coded = code(codec, x, rate)
        row = _measure(codec, image, x, coded, rate)
    if rate in drawn:
        path = folder / _picture_name(index, image, rate)
        with unless_it_fails(f"picture {path.name}"):
            write_picture(path, x, coded.x_hat, row)
    return row, coded.x_hat


def _measured_further(image: str, metrics: Sequence[PictureMetric], x: Tensor, x_hat: Tensor) -> dict[str, float]:
    """{metric: value} of original and decoded picture (1, 3, H, W). Raises EvaluationError: it may be anybody's."""
    if not metrics:
        return {}
    original, decoded = rgb(x), rgb(x_hat)
    found = {}
    for metric in metrics:
        try:
            found[metric.name] = metric.of(original, decoded)
        except Exception as error:  # whatever a function of the user's raises
            raise EvaluationError(f"image {image!r}: {metric.name}: {type(error).__name__}: {error}") from error
    return found


def code(codec: Codec, x: Tensor, rate: Rate | None = None) -> Coded:
    """Encode x (1, 3, H, W), at a rate where the codec has several, and decode it from the bytes alone; timed."""
    height, width = x.shape[-2:]
    compressed, encode_s = timed(lambda: codec.compress(codec.pad(x), **at(rate)), x.device)
    # The decoder must not see what only the encoder knows, or `exact` would prove nothing.
    received = dataclasses.replace(compressed, state=None)
    with comparing_pictures():  # that a decoder does not follow its encoder is a result
        decoded, decode_s = timed(lambda: codec.decompress(received), x.device)
    if not decoded.isfinite().all():
        raise ValueError("the decoder returned NaN or infinity")
    exact, difference = _compare(decoded, codec.reconstruct(compressed))
    return Coded(codec.crop(decoded, height, width), _bits(compressed), encode_s, decode_s, exact, difference)


def at(rate: Rate | None) -> dict[str, float]:
    """What a codec is told of the rate; nothing where it has only one."""
    return {} if rate is None else {"quality": rate.quality}


def _picture_name(index: int, image: str, rate: Rate | None) -> str:
    """The same on any file system, and short: the image's own name may be as long as a file's can be."""
    name = f"{index:03d}_{picture_stem(image)}"
    return f"{name if rate is None else names.at_quality(name, rate.quality)}.png"


def _measure(codec: Codec, image: str, x: Tensor, coded: Coded, rate: Rate | None) -> dict[str, Any]:
    """One row of `Evaluation.rows`."""
    height, width = x.shape[-2:]
    bpp = coded.bits / (height * width)
    bpp_estimated = bits_per_pixel(codec(codec.pad(x), **at(rate)).bits, height * width).item()
    similarity, similarity_db = _similarity(coded.x_hat, x)
    return {
        "image": image,
        "height": height,
        "width": width,
        "pixels": pixels_digest(height, width, rgb(x).tobytes()),
        **({} if rate is None else {"rate": rate.quality, "lmbda": rate.lmbda}),
        "bpp": bpp,
        "bpp_estimated": bpp_estimated,
        "bpp_gap_percent": 100 * (bpp / bpp_estimated - 1) if bpp_estimated > 0 else float("inf"),
        "psnr": psnr(coded.x_hat, x).item(),
        "ms_ssim": similarity,
        "ms_ssim_db": similarity_db,
        "encode_s": coded.encode_s,
        "decode_s": coded.decode_s,
        "exact": coded.exact,
        "max_abs_difference": coded.max_abs_difference,
    }


def rgb(x: Tensor) -> NDArray[np.uint8]:
    """X (1, 3, H, W) in [0, 1] as the 8-bit pixels of a file (H, W, 3)."""
    pixels: NDArray[np.uint8] = (to_8bit(x[0]) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    return np.ascontiguousarray(pixels)


def _similarity(x_hat: Tensor, x: Tensor) -> tuple[float, float]:
    """MS-SSIM and its dB of the 8-bit pictures, or NaN where the image is too small for five scales."""
    if min(x.shape[-2:]) < MIN_MS_SSIM_SIDE:
        return float("nan"), float("nan")
    value = ms_ssim(to_8bit(x_hat), to_8bit(x))
    return value.item(), ms_ssim_db(value).item()


def _compare(decoded: Tensor, expected: Tensor) -> tuple[bool, float]:
    """Whether both are equal bit for bit, and their largest difference on the scale [0, 1]."""
    if decoded.shape != expected.shape:
        raise ValueError(f"decoder returned {tuple(decoded.shape)}, the encoder expects {tuple(expected.shape)}")
    return torch.equal(decoded, expected), (decoded - expected).abs().max().item()


def _bits(compressed: Compressed) -> int:
    (bits,) = compressed.bits()
    return bits


@contextmanager
def _named(image: str, x: Tensor, rate: Rate | None) -> Iterator[None]:
    """Errors inside name the image, and the rate where there are several."""
    try:
        if x.dim() != 4 or x.shape[:2] != (1, 3):
            raise ValueError("an image must be a tensor (1, 3, H, W)")
        yield
    except Exception as error:
        what = f"image {image!r}, shape {tuple(x.shape)}" + ("" if rate is None else f", quality {rate.quality:g}")
        raise EvaluationError(f"{what}: {type(error).__name__}: {error}") from error


@contextmanager
def as_deployed(codec: Codec, device: torch.device) -> Iterator[None]:
    """Eval mode, fresh tables, full float32 and repeatable kernels; modes and switches are restored afterwards."""
    # Not inference_mode: tables and caches made in it could not be used by training that goes on afterwards.
    with torch.no_grad(), exact_float32(), repeatable_kernels(), in_eval_mode(codec):
        codec.to(device)
        try:
            codec.update(force=True)
        except ValueError as error:
            raise EvaluationError(f"the codec cannot code: {error}") from error
        yield
