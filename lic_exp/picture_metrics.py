"""How like two 8-bit pictures are, in numbers, without torch: what codecs outside of this package are measured by.

Pictures are RGB (H, W, 3), 8 bits. Those that `lic_exp.metrics` has too give the same values here.
"""

import difflib
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]
    Plane = NDArray[np.float32]

LUMA = (0.2126, 0.7152, 0.0722)
"""Shares of R, G and B in Y, of BT.709, full range: Y of white is 255."""

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of the five scales of MS-SSIM, fine to coarse (Wang et al., 2003)."""

WINDOW, SIGMA = 11, 1.5
"""Side [pixels] and width of the Gaussian that MS-SSIM averages by."""

MIN_MS_SSIM_SIDE = 161
"""Smallest image side of MS-SSIM [pixels]: four halvings must leave more than a window's 10."""


ALWAYS_MEASURED = ("psnr", "ms-ssim")
"""Those that evaluations have whatever else is asked for."""


class PictureMetricError(ValueError):
    """There is no such metric, or it cannot be had; the message says what would help."""


@dataclass(frozen=True)
class PictureMetric:
    """of: original and other picture -> a number, NaN where the picture is too small for it; higher is better.

    label: for an axis. defined_by: the function of the user's own that `of` asks.
    """

    name: str
    label: str
    of: "Callable[[Picture, Picture], float]"
    defined_by: Any = None


def psnr(original: "Picture", other: "Picture") -> float:
    """PSNR [dB] over all RGB samples, 10 log10(255^2 / MSE); inf of equal pictures."""
    return _decibels(_mse(original, other))


def psnr_y(original: "Picture", other: "Picture") -> float:
    """The same of Y (`LUMA`), which is not rounded."""
    return _decibels(_mse(luma(original), luma(other)))


def luma(picture: "Picture") -> "Plane":
    """Y (H, W), 0 to 255, not rounded."""
    import numpy as np

    plane: Plane = picture.astype(np.float32) @ np.array(LUMA, np.float32)
    return plane


def ms_ssim(original: "Picture", other: "Picture") -> float:
    """MS-SSIM in [0, 1], mean of those of R, G and B; NaN below `MIN_MS_SSIM_SIDE`."""
    return _mean_ms_ssim([(original[..., i], other[..., i]) for i in range(3)])


def ms_ssim_y(original: "Picture", other: "Picture") -> float:
    """The same of Y (`LUMA`)."""
    return _mean_ms_ssim([(luma(original), luma(other))])


def psnr_hvs_m(original: "Picture", other: "Picture") -> float:
    """PSNR-HVS-M [dB] of Y (Ponomarenko et al., 2007), by the package psnr-hvsm; inf of equal pictures.

    It looks at blocks of 8 by 8, so that what is left of a picture at the right and below is not seen; NaN where there
    is no block. Raises PictureMetricError where the package is not installed.
    """
    import numpy as np

    height, width = (side // 8 * 8 for side in original.shape[:2])
    measure = _hvs_and_hvs_m()
    if not height or not width:
        return math.nan
    a, b = (luma(picture)[:height, :width].astype(float) / 255 for picture in (original, other))
    with np.errstate(all="ignore"):  # flat blocks have no variance
        return math.inf if (a == b).all() else float(measure(a, b)[1])


BUILT_IN = {
    metric.name: metric
    for metric in (
        PictureMetric("psnr", "PSNR [dB]", psnr),
        PictureMetric("ms-ssim", "MS-SSIM", ms_ssim),
        PictureMetric("psnr-y", "PSNR of Y [dB]", psnr_y),
        PictureMetric("ms-ssim-y", "MS-SSIM of Y", ms_ssim_y),
        PictureMetric("psnr-hvs-m", "PSNR-HVS-M [dB]", psnr_hvs_m),
    )
}
"""By the names that results files have them under."""


OF_LUMA = "Y of BT.709, full range, not rounded"

CONVENTIONS = {
    "psnr-y": f"{OF_LUMA}; dB",
    "ms-ssim-y": f"{OF_LUMA}; raw",
    "psnr-hvs-m": f"{OF_LUMA}, by psnr-hvsm; dB",
}
"""What results files say of those that the field knows in several forms."""


def conventions_of(names: Iterable[str]) -> dict[str, str]:
    """{metric: how it is measured here} of those of these of which that must be said."""
    return {name: CONVENTIONS[name] for name in names if name in CONVENTIONS}


def is_further(name: str) -> bool:
    """Whether a measure of an evaluation is a metric that was asked for, beside those that are always measured."""
    return (name in BUILT_IN and name not in ALWAYS_MEASURED) or ":" in name


def picture_metric(name: str) -> PictureMetric:
    """The metric of this name; `package.module:function` is one of the user's own. Raises PictureMetricError.

    A function of one's own gets the original and the other picture and returns a number, higher for better ones.
    """
    if name == "psnr-hvs-m":
        _hvs_and_hvs_m()  # or an error before anything is measured
    if name in BUILT_IN:
        return BUILT_IN[name]
    if ":" not in name:
        near = difflib.get_close_matches(name, BUILT_IN, n=1)
        hint = f"did you mean {near[0]}? There are" if near else "there are"
        raise PictureMetricError(f"no metric {name!r}: {hint} {', '.join(BUILT_IN)}, and package.module:function")
    return _own(name)


def _own(name: str) -> PictureMetric:
    module, _, function = name.partition(":")
    if not module or not function:
        raise PictureMetricError(f"metric {name}: it has the form package.module:function")
    try:
        there = import_module(module)
    except ImportError as error:
        raise PictureMetricError(f"metric {name}: {module} cannot be imported: {error}") from error
    except Exception as error:  # whatever a module of the user's raises
        raise PictureMetricError(f"metric {name}: {module} raises {type(error).__name__}: {error}") from error
    found = getattr(there, function, None)
    if found is None:
        raise PictureMetricError(f"metric {name}: {module} has no {function}")
    if not callable(found):
        raise PictureMetricError(f"metric {name}: it is no function of two pictures")
    of: Callable[..., Any] = found

    def measure(original: "Picture", other: "Picture") -> float:
        value = of(original, other)
        try:
            return float(value)
        except (TypeError, ValueError) as error:
            raise PictureMetricError(f"metric {name}: it returned {value!r}, which is no number") from error

    return PictureMetric(name, function, measure, of)


@cache
def _hvs_and_hvs_m() -> "Callable[..., Any]":
    """The function of psnr-hvsm that gives both, of planes in [0, 1]. Raises PictureMetricError.

    Its part for NumPy is loaded by itself: the package around it imports torch where there is one, and prints.
    """
    package = find_spec("psnr_hvsm")
    if package is None or not package.submodule_search_locations:
        raise PictureMetricError("psnr-hvs-m needs the package psnr-hvsm: pip install 'lic-exp[metrics]'")
    folder = Path(package.submodule_search_locations[0], "numpy")
    name = "_numpy_part_of_psnr_hvsm"
    spec = spec_from_file_location(name, folder / "__init__.py", submodule_search_locations=[str(folder)])
    if spec is None or spec.loader is None or not (folder / "__init__.py").is_file():
        raise PictureMetricError(f"psnr-hvs-m: {folder} is not what psnr-hvsm 0.3 has: pip install 'lic-exp[metrics]'")
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    found: Callable[..., Any] = module.psnr_hvs_hvsm
    return found


def _mse(a: "NDArray[Any]", b: "NDArray[Any]") -> float:
    import numpy as np

    if a.shape != b.shape:
        raise ValueError(f"pictures {a.shape} and {b.shape} differ in size")
    return float(np.square(a.astype(np.float32) - b.astype(np.float32)).mean(dtype=np.float64))


def _decibels(mse: float) -> float:
    return 10 * math.log10(255**2 / mse) if mse else math.inf


def _mean_ms_ssim(planes: "Sequence[tuple[NDArray[Any], NDArray[Any]]]") -> float:
    import numpy as np

    if min(planes[0][0].shape) < MIN_MS_SSIM_SIDE:
        return math.nan
    return float(np.mean([_ms_ssim(a.astype(np.float32), b.astype(np.float32)) for a, b in planes]))


def _ms_ssim(a: "Plane", b: "Plane") -> float:
    """Of planes (H, W) from 0 to 255. As pytorch-msssim has it: what is negative counts as 0."""
    product = 1.0
    for scale, weight in enumerate(SCALE_WEIGHTS):
        ssim, contrast = _ssim_and_contrast(a, b)
        product *= max(ssim if scale == len(SCALE_WEIGHTS) - 1 else contrast, 0.0) ** weight
        a, b = _halved(a), _halved(b)
    return product


def _ssim_and_contrast(a: "Plane", b: "Plane") -> tuple[float, float]:
    """Means of SSIM and of its factor of contrast and structure, where the window lies within the plane."""
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_a, mean_b = _smoothed(a), _smoothed(b)
    of_a, of_b = _smoothed(a * a) - mean_a * mean_a, _smoothed(b * b) - mean_b * mean_b
    of_both = _smoothed(a * b) - mean_a * mean_b
    contrast = (2 * of_both + c2) / (of_a + of_b + c2)
    ssim = contrast * (2 * mean_a * mean_b + c1) / (mean_a * mean_a + mean_b * mean_b + c1)
    return float(ssim.mean(dtype=float)), float(contrast.mean(dtype=float))


def _smoothed(plane: "Plane") -> "Plane":
    import numpy as np
    from scipy.ndimage import correlate1d

    at = np.arange(WINDOW) - WINDOW // 2
    window = np.exp(-(at**2) / (2 * SIGMA**2))
    window /= window.sum()
    edge = WINDOW // 2
    rows = correlate1d(plane, window, axis=0, mode="nearest")[edge:-edge]
    smoothed: Plane = correlate1d(rows, window, axis=1, mode="nearest")[:, edge:-edge]
    return smoothed


def _halved(plane: "Plane") -> "Plane":
    """Means of 2 by 2 samples; of an odd side the first is paired with a zero, as average pooling pads it."""
    import numpy as np

    height, width = plane.shape
    padded = np.pad(plane, ((height % 2, 0), (width % 2, 0)))
    parts = padded.reshape(padded.shape[0] // 2, 2, padded.shape[1] // 2, 2)
    halved: Plane = (parts[:, 0, :, 0] + parts[:, 0, :, 1] + parts[:, 1, :, 0] + parts[:, 1, :, 1]) / 4
    return halved
