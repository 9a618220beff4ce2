"""Curves of other codecs on one's own photos, with all that must be known to measure them again."""

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Literal, NamedTuple

from analysis.curve_files import Curve
from analysis.errors import AnalysisError
from analysis.measured.codec import AnchorCodec, shipped, shipped_codec
from analysis.measured.measuring import Measurement, measure, why_not
from analysis.measured.own import SUFFIXES, own_codec
from analysis.measured.photos import PhotoSet
from lic_exp.evaluation.conventions import CONVENTIONS
from lic_exp.picture_metrics import (
    ALWAYS_MEASURED,
    PictureMetric,
    PictureMetricError,
    conventions_of,
    picture_metric,
)

Container = Literal["out", "in"]
"""Whether the bytes of a file format around a codec's bitstream count. Those of runs never do: they have none."""


class Chosen(NamedTuple):
    """Codecs by name, with the qualities of each; and those that cannot be had here, with the reason."""

    codecs: dict[str, tuple[AnchorCodec, Sequence[float]]]
    missing: dict[str, str]


def choose(names: Sequence[str] | None, qualities: Mapping[str, Sequence[float]] | None = None) -> Chosen:
    """The codecs of these names, or of these files that describe one's own; None: all that there are.

    qualities: of a codec, others than its own. Raises AnalysisError for a name that is none.
    """
    known = shipped()
    found: dict[str, AnchorCodec] = {}
    for name in known if names is None else names:
        if name.endswith(SUFFIXES):
            codec: AnchorCodec = own_codec(Path(name))
        elif name in known:
            codec = shipped_codec(name)
        else:
            near = difflib.get_close_matches(name.lower(), known, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise AnalysisError(f"there is no codec {name}.{hint} There are {', '.join(known)}, or a file FILE.yaml")
        if codec.name in found or (codec.name in known and name.endswith(SUFFIXES)):
            raise AnalysisError(f"{name}: there is a codec {codec.name} already; call it something else")
        found[codec.name] = codec
    asked = qualities or {}
    if unknown := sorted(asked.keys() - found.keys()):
        raise AnalysisError(f"--quality: {unknown[0]} is not among the codecs: {', '.join(found)}")
    reasons = {name: codec.missing() or (why_not(codec) if name in known else None) for name, codec in found.items()}
    return Chosen(
        {name: (codec, asked.get(name, codec.qualities)) for name, codec in found.items() if reasons[name] is None},
        {name: reason for name, reason in reasons.items() if reason is not None},
    )


def measured_curves(
    chosen: Chosen,
    photos: PhotoSet,
    *,
    metrics: Sequence[str] = (),
    container: Container = "out",
    workers: int | None = None,
    progress: Callable[[str, int, int], None] = lambda codec, done, total: None,
) -> list[Curve]:
    """A curve per codec that can be had, measured now or known from before.

    metrics: beside those of every evaluation. Raises AnalysisError, which names codec and photo where one failed.
    """
    try:
        wanted = [picture_metric(name) for name in dict.fromkeys((*ALWAYS_MEASURED, *metrics))]
    except PictureMetricError as error:
        raise AnalysisError(f"--metrics: {error}") from error
    found = measure(chosen.codecs, photos, wanted, workers=workers, progress=progress)
    return [
        _curve(codec, qualities, found[name], photos, wanted, container)
        for name, (codec, qualities) in chosen.codecs.items()
    ]


def _curve(
    codec: AnchorCodec,
    qualities: Sequence[float],
    measured: Sequence[Measurement],
    photos: PhotoSet,
    metrics: Sequence[PictureMetric],
    container: Container,
) -> Curve:
    by_quality = [[one for one in measured if one.quality == quality] for quality in qualities]
    by_quality.sort(key=lambda point: fmean(_bpp(one, container) for one in point))
    results: dict[str, tuple[float, ...]] = {
        "bpp": tuple(fmean(_bpp(one, container) for one in point) for point in by_quality)
    }
    for metric in metrics:
        values = [fmean(one.values[metric.name] for one in point) for point in by_quality]
        # A mean over fewer images than the rate's would be of something else: then there is none.
        if not any(map(math.isnan, values)):
            results[metric.name] = tuple(values)
    points = [_point(codec, point, container) for point in by_quality]
    about: dict[str, Any] = {
        "images": photos.identity(),
        **({"optimized_for": codec.optimized_for} if codec.optimized_for else {}),
        "conventions": {
            **CONVENTIONS,
            **conventions_of(metric.name for metric in metrics),
            "container": container,
            "chroma": codec.conversion.chroma,
            "colour_conversion": codec.conversion.describe(),
        },
        **({"note": codec.note} if codec.note else {}),
        "source": {
            "kind": "measured",
            "codec": codec.name,
            "version": codec.version(),
            "command": codec.command(qualities[0]),
        },
        "points": points,
        "rows": [{**one._asdict(), "bpp": _bpp(one, container)} for point in by_quality for one in point],
    }
    count = len(photos.photos)
    description = (
        f"{codec.name} on {count} image{'s' if count > 1 else ''}{f' of {photos.name}' if photos.name else ''}"
    )
    return Curve(codec.name, results, description, about)


def _point(codec: AnchorCodec, images: Sequence[Measurement], container: Container) -> dict[str, Any]:
    """What a point records. conversion_psnr: of the colours' conversion alone, of the mean error [dB]; or "exact"."""
    error = fmean(one.conversion for one in images)
    return {
        "codec": codec.name,
        "version": codec.version(),
        "quality": images[0].quality,
        "command": codec.command(images[0].quality),
        "colour_conversion": codec.conversion.describe(),
        "rounding": CONVENTIONS["rounding"],
        "container": container,
        "bytes": sum(one.data_bytes for one in images),
        "container_bytes": sum(one.container_bytes for one in images),
        "conversion_mse": error,
        "conversion_psnr": round(10 * math.log10(255**2 / error), 3) if error else "exact",
    }


def _bpp(one: Measurement, container: Container) -> float:
    counted = one.data_bytes - (one.container_bytes if container == "out" else 0)
    return 8 * counted / (one.height * one.width)
