"""What a rate-distortion point must say of itself to be compared: of which images it is, and how it was measured."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from lic_exp.image_identity import Pictured, identity
from lic_exp.picture_metrics import conventions_of

if TYPE_CHECKING:
    import pandas as pd

CONVENTIONS = {
    "rate": "real bits",
    "container": "out",
    "pixels": "original",
    "psnr": "RGB, dB",
    "ms-ssim": "raw; in dB it is -10 log10(1 - mean)",
    "rounding": "8 bits",
    "averaging": "mean of bpp and of PSNR over images",
}
"""How the platform measures: bits of the coded strings alone, without a file's header, over the original pixels;
pictures rounded to 8 bits; the mean over images of each measure."""

DATA_SET, WEIGHTS, OPTIMIZED_FOR = "data_set", "weights", "optimized_for"
"""Keys of what an evaluation is told about itself: what people call its images, which weights were taken, "raw" or
"ema", and for what they were trained."""


def measured_as(rows: "pd.DataFrame", about: Mapping[str, Any], further: Iterable[str] = ()) -> dict[str, Any]:
    """The keys of results files that tell two curves of unlike things apart: `images`, `conventions`, `optimized_for`.

    rows: of one rate, one per image. about: what the evaluation was told about itself. further: metrics beside PSNR and
    MS-SSIM.
    """
    columns = rows[["image", "height", "width", "pixels"]].itertuples(index=False, name=None)
    weights = {WEIGHTS: about[WEIGHTS]} if about.get(WEIGHTS) else {}
    found: dict[str, Any] = {
        "images": identity(about.get(DATA_SET), (Pictured(str(name), int(h), int(w), p) for name, h, w, p in columns)),
        "conventions": CONVENTIONS | conventions_of(further) | weights,
    }
    return found | ({OPTIMIZED_FOR: about[OPTIMIZED_FOR]} if about.get(OPTIMIZED_FOR) else {})
