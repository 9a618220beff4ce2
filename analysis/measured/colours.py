"""RGB as codecs of video take it: planes of luma and chroma of so many bits, and what the conversion alone costs."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError

Picture = NDArray[np.uint8]
Planes = NDArray[np.uint16]

WEIGHTS = {"BT.601": (0.299, 0.114), "BT.709": (0.2126, 0.0722)}
"""Shares of red and of blue in luma."""

MOST_SQUARED_ERROR = {8: 1.0, 10: 0.05}
"""By bits, of a conversion of all samples there and back that rounds, with room to spare: 0.3 and 0 on photos.

On the scale of 255. One that truncates, or takes the other matrix on the way back, has 2.8 and more.
"""


@dataclass(frozen=True)
class Conversion:
    """How a codec comes from RGB to what it codes, and back.

    matrix: "BT.601", "BT.709", or the name of something else that is done in floating point and loses nothing.
    bits: of each sample; None for floating point. chroma: "4:4:4" or "4:2:0".
    by: "us" (rounded to nearest both ways, full range), or "the encoder".
    """

    matrix: str
    bits: int | None
    chroma: str = "4:4:4"
    full_range: bool = True
    by: str = "the encoder"

    def describe(self) -> dict[str, Any]:
        return asdict(self)


def to_planes(picture: Picture, conversion: Conversion) -> Planes:
    """Y, Cb, Cr (3, H, W), each sample rounded to nearest."""
    assert conversion.bits is not None
    red, blue = WEIGHTS[conversion.matrix]
    r, g, b = (picture[..., i] / 255 for i in range(3))
    y = red * r + (1 - red - blue) * g + blue * b
    scale, (low, luma, chroma) = 2 ** (conversion.bits - 8), _ranges(conversion)
    planes = [low + luma * y, 128 + chroma * (b - y) / (2 * (1 - blue)), 128 + chroma * (r - y) / (2 * (1 - red))]
    rounded: Planes = np.clip(np.rint(np.stack(planes) * scale), 0, 2**conversion.bits - 1).astype(np.uint16)
    return rounded


def to_picture(planes: Planes, conversion: Conversion) -> Picture:
    """RGB (H, W, 3), 8 bits, rounded to nearest."""
    assert conversion.bits is not None
    red, blue = WEIGHTS[conversion.matrix]
    scale, (low, luma, chroma) = 2 ** (conversion.bits - 8), _ranges(conversion)
    y, cb, cr = planes[0] / scale, planes[1] / scale, planes[2] / scale
    y, cb, cr = (y - low) / luma, (cb - 128) / chroma, (cr - 128) / chroma
    r, b = y + 2 * (1 - red) * cr, y + 2 * (1 - blue) * cb
    g = (y - red * r - blue * b) / (1 - red - blue)
    rounded: Picture = np.clip(np.rint(np.stack([r, g, b], -1) * 255), 0, 255).astype(np.uint8)
    return rounded


def conversion_error(picture: Picture, conversion: Conversion) -> float:
    """MSE on the scale of 255 of RGB that was converted and converted back, nothing being coded between.

    Of a codec that converts by itself, that of such a conversion: what its own does beside is part of the coding.
    Raises AnalysisError where the conversion of all samples loses more than rounding can.
    """
    if conversion.bits is None:
        return 0.0
    planes = to_planes(picture, conversion)
    if conversion.chroma == "4:2:0":
        planes = np.concatenate([planes[:1], [_doubled(_halved(plane), plane.shape) for plane in planes[1:]]])
    back = to_picture(planes, conversion)
    error = float(np.square(back.astype(np.int32) - picture).mean())
    most = MOST_SQUARED_ERROR.get(conversion.bits, 0.05)
    if conversion.chroma == "4:4:4" and error > most:
        raise AnalysisError(
            f"the conversion of colours alone, {conversion.matrix} of {conversion.bits} bits, has a mean squared error "
            f"of {error:.3g}, and rounding explains {most:g} at most: nothing is measured with it"
        )
    return error


def _ranges(conversion: Conversion) -> tuple[float, float, float]:
    """Black, white minus black, and the range of chroma, of 8 bits."""
    if conversion.full_range:
        # White of 10 bits is 1023 and not 1020; that of 8 bits is 255.
        whole = (2 ** (conversion.bits or 8) - 1) / 2 ** ((conversion.bits or 8) - 8)
        return 0.0, whole, whole
    return 16.0, 219.0, 224.0


def _halved(plane: Planes) -> Planes:
    """Means of 2 by 2 samples, rounded; of an odd side the last row or column is repeated."""
    padded = np.pad(plane, [(0, side % 2) for side in plane.shape], mode="edge").astype(np.float64)
    height, width = padded.shape
    rounded: Planes = np.rint(padded.reshape(height // 2, 2, width // 2, 2).mean((1, 3))).astype(np.uint16)
    return rounded


def _doubled(plane: Planes, shape: tuple[int, ...]) -> Planes:
    """Each sample between two of a plane in the middle of 2 by 2: three quarters of the near, a quarter of the far."""
    values = plane.astype(np.float64)
    for axis in (0, 1):
        wide = np.pad(values, [(1, 1) if i == axis else (0, 0) for i in (0, 1)], mode="edge")
        middle, before, after = (np.take(wide, range(i, wide.shape[axis] - 2 + i), axis) for i in (1, 0, 2))
        values = np.stack([0.75 * middle + 0.25 * before, 0.75 * middle + 0.25 * after], axis + 1)
        values = values.reshape([-1 if i == axis else side for i, side in enumerate(middle.shape)])
    rounded: Planes = np.rint(values[: shape[0], : shape[1]]).astype(np.uint16)
    return rounded
