"""WebP by libwebp, whose lossy form has 4:2:0 alone."""

from analysis.measured.colours import Conversion
from analysis.measured.pillow import PillowCodec

RANK = 2010


def container(data: bytes) -> int:
    """All but the chunks of the picture: RIFF's header of 12 bytes, and 8 before each chunk."""
    at, own = 12, 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        own += size if data[at : at + 4] in (b"VP8 ", b"VP8L", b"ALPH") else 0
        at += 8 + size + size % 2
    return len(data) - own


CODEC = PillowCodec(
    name="webp",
    format="WEBP",
    library="webp",
    qualities=(5, 25, 50, 75, 87, 93),
    conversion=Conversion("BT.601", 8, "4:2:0", full_range=False),
    options={"method": 6, "exact": False},
    container=container,
    note="lossy WebP has no 4:4:4",
)
