"""The qualities that a curve may have: their names, labels, and which of them are in decibels."""

from collections.abc import Collection

METRICS = {
    "psnr": "PSNR [dB]",
    "ms-ssim-db": "MS-SSIM [dB]",
    "ms-ssim": "MS-SSIM",
    "psnr-y": "PSNR of Y [dB]",
    "ms-ssim-y-db": "MS-SSIM of Y [dB]",
    "ms-ssim-y": "MS-SSIM of Y",
    "psnr-hvs-m": "PSNR-HVS-M [dB]",
}
"""Qualities by name, with their axis labels."""

USUAL = ("psnr", "ms-ssim-db", "ms-ssim")
"""Those that have a column in every table, empty or not."""

RAW_OF = {"ms-ssim-db": "ms-ssim", "ms-ssim-y-db": "ms-ssim-y"}
"""Qualities in decibels, and those in [0, 1] from which they follow."""

OF_A_FUNCTION = ":"
"""In the name of a metric of the user's own, `package.module:function`."""


RAW = frozenset(RAW_OF.values())


def qualities_in(results: Collection[str]) -> list[str]:
    """The qualities that a file with these lists has, or that follow from them."""
    built_in = [name for name in METRICS if name in results or RAW_OF.get(name) in results]
    return [*built_in, *(name for name in results if OF_A_FUNCTION in name)]


def label_of(metric: str) -> str:
    """For an axis or a column."""
    return METRICS.get(metric) or metric.rpartition(OF_A_FUNCTION)[2]
