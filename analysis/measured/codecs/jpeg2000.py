"""JPEG 2000 by OpenJPEG: the 9/7 wavelet, one layer, asked for by PSNR. The rate is that of the bare codestream."""

from analysis.measured.colours import Conversion
from analysis.measured.pillow import PillowCodec

RANK = 2000

CODEC = PillowCodec(
    name="jpeg2000",
    format="JPEG2000",
    library="jpg_2000",
    qualities=(27, 29, 31, 33.5, 36, 38.5),
    conversion=Conversion("ICT", None),
    options={"irreversible": True, "mct": 1, "no_jp2": True, "quality_mode": "dB"},
    setting=lambda decibels: {"quality_layers": [decibels]},
    optimized_for="mse",
)
