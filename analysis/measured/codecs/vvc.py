"""VVC intra by VVenC: full resolution of chroma, 10 bits, constant QP, perceptual optimisation off.

VVenC takes 4:2:0 alone. So that chroma keeps its resolution, Y, Cb and Cr stand one above the other in the luma of a
picture whose chroma is grey. What VVC has for predicting chroma from luma is lost by that: an encoder of 4:4:4, such as
VTM, needs some percent less.
"""

import numpy as np

from analysis.measured.colours import Planes
from analysis.measured.ffmpeg import FFmpegCodec

RANK = 2020


def stacked(planes: Planes) -> tuple[bytes, str, int, int]:
    """Planes (3, H, W) of 10 bits as the luma (3H, W) of a 4:2:0 picture, as `FFmpegCodec.pack` has it."""
    _, height, width = planes.shape
    grey = np.full(3 * height * width // 2, 512, "<u2")
    return planes.astype("<u2").tobytes() + grey.tobytes(), "yuv420p10le", width, 3 * height


def unstacked(raw: bytes, height: int, width: int) -> Planes:
    """The inverse."""
    return np.frombuffer(raw, "<u2", 3 * height * width).reshape(3, height, width)


CODEC = FFmpegCodec(
    name="vvc",
    codec="vvc",
    encoder="libvvenc",
    format="vvc",
    qualities=(46, 42, 38, 34, 30, 26),
    options=lambda qp: ["-preset", "medium", "-qpa", "0", "-qp", f"{qp:g}"],
    pack=stacked,
    unpack=unstacked,
    note="Y, Cb and Cr as one picture of luma, since VVenC has no 4:4:4: no prediction of chroma from luma",
)
