"""AVIF by libavif and libaom: AV1 in a file of the HEIF family, 8 bits."""

from analysis.measured.colours import Conversion
from analysis.measured.pillow import PillowCodec

RANK = 2019


def container(data: bytes) -> int:
    """All but what is in the box `mdat`, which holds the AV1 bitstream, its sequence header included."""
    at, own = 0, 0
    while at + 8 <= len(data):
        size, head = int.from_bytes(data[at : at + 4], "big"), 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        size = size or len(data) - at
        own += size - head if data[at + 4 : at + 8] == b"mdat" else 0
        at += max(size, head)
    return len(data) - own


CODEC = PillowCodec(
    name="avif",
    format="AVIF",
    library="avif",
    qualities=(8, 20, 34, 48, 60, 72),
    conversion=Conversion("BT.601", 8),
    options={"subsampling": "4:4:4", "range": "full", "codec": "aom", "speed": 4, "max_threads": 1}
    | {"advanced": {"tune": "psnr"}},
    container=container,
    optimized_for="mse",
)
