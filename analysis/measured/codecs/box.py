"""The pretrained codec of this platform, `python -m lic_exp compress` where no codec is named."""

from analysis.measured.lic import LicCodec

RANK = 2026

CODEC = LicCodec(name="box", qualities=(0, 12, 24, 37, 50, 63), chosen=("--weights", "box"))
