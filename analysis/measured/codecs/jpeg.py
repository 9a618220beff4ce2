"""JPEG by libjpeg-turbo: baseline, Huffman tables made for each picture."""

from analysis.measured.colours import Conversion
from analysis.measured.pillow import PillowCodec

RANK = 1992

CODEC = PillowCodec(
    name="jpeg",
    format="JPEG",
    library="jpg",
    qualities=(8, 18, 35, 55, 75, 88),
    conversion=Conversion("BT.601", 8),
    options={"subsampling": "4:4:4", "optimize": True},
)
