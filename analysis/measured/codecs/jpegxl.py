"""JPEG XL by libjxl: XYB, made for the eye and not for the mean squared error. The rate is of the bare codestream."""

from analysis.measured.colours import Conversion
from analysis.measured.pillow import PillowCodec

RANK = 2021


def container(data: bytes) -> int:
    """All but the codestream: 0 where it stands bare, as it begins by itself."""
    at, own = 0, 0
    if data[:2] == b"\xff\x0a":
        return 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big") or len(data) - at
        kind = data[at + 4 : at + 8]
        own += size - 8 if kind == b"jxlc" else size - 12 if kind == b"jxlp" else 0
        at += max(size, 8)
    return len(data) - own


CODEC = PillowCodec(
    name="jpegxl",
    format="JXL",
    library="jxl",
    qualities=(5, 20, 45, 65, 80, 90),
    conversion=Conversion("XYB", None),
    options={"effort": 7, "num_threads": 1},
    container=container,
    plugin=("pillow_jxl", "pillow-jxl-plugin"),
)
