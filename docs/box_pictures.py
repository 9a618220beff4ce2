"""The pictures of the pretrained codec in docs/pictures: its curve beside others, and a photo at equal bytes.

    python docs/box_pictures.py curve measured.json
    python docs/box_pictures.py photo [--bytes 9000] [--run RUN]

The first draws what `python benchmarks/box.py FOLDER --out measured.json` measured; the second codes the photo
`coffee` of scikit-image (CC0) by progressive JPEG, whichever is better of 4:2:0 and 4:4:4, and by WebP, as well as each
can in these bytes, and by the box in no more than either has used; and shows a part of it. RUN: the folder of a run,
whose best weights are taken in place of those that are shipped.
"""

import argparse
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from analysis.curve_files import Curve
from analysis.plots import rd_figure
from lic_exp.picture_metrics import psnr
from lic_exp.plot_style import DPI, encoded, in_style, new_figure

FOLDER = Path(__file__).parent / "pictures"
CURVES = {"box": "box", "jpeg, progressive": "JPEG", "webp": "WebP", "avif": "AVIF"}
CROP = slice(60, 268), slice(190, 398)
"""Rows and columns of the photo that are shown: the cup, its spoon and the grain of the table."""

ENLARGED, GAP, CAPTION = 2, 8, 36
"""Each pixel is so many wide; around each picture, and for the text above it [pixels]."""

COLOURS = 256
"""Of the picture that is kept."""


@dataclass(frozen=True)
class Shown:
    """A picture under its name. size: of its file [bytes]; None of the original."""

    name: str
    picture: np.ndarray
    size: int | None = None


def curve_picture(measured: dict[str, Any], most_bpp: float) -> bytes:
    """PSNR over bits of whole files per pixel."""
    curves = [
        Curve(shown, {"bpp": tuple(rates), "psnr": tuple(qualities)})
        for name, shown in CURVES.items()
        if name in measured["curves"]["psnr"]
        for rates, qualities in [measured["curves"]["psnr"][name]]
    ]
    figure = rd_figure(curves, width=7.0)
    (axes,) = figure.axes
    axes.set_xlabel("rate of whole files [bpp]")
    axes.set_title(f"{measured['images']['number']} images of {measured['images']['name']}", loc="left")
    axes.set_xlim(0, most_bpp)
    within = [q for curve in curves for r, q in zip(curve.bpp, curve.quality(), strict=True) if r <= most_bpp]
    axes.set_ylim(min(within) - 0.5, max(within) + 0.5)
    return encoded(figure, ".png")


def photo() -> np.ndarray:
    from skimage.data import coffee

    return np.ascontiguousarray(coffee())


def by_box(picture: np.ndarray, most: int, run: Path | None) -> Shown:
    import lic_exp

    codec = lic_exp.load_pretrained("box") if run is None else lic_exp.find_run(run.name, run.parent).codec("cpu")
    data = lic_exp.encode_image(picture, codec, max_bytes=most)
    return Shown("box", lic_exp.decode_image(data, codec, form="array"), len(data))


def by_pillow(picture: np.ndarray, most: int, name: str, **options: Any) -> Shown:
    """As good as it can be in so many bytes."""

    def file_of(quality: int) -> bytes:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, name, quality=quality, **options)
        return file.getvalue()

    fitting = [data for quality in range(1, 96) if len(data := file_of(quality)) <= most]
    decoded = [(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")), len(data)) for data in fitting]
    if not decoded:
        raise SystemExit(f"{name} needs more than {most} bytes")
    best, size = max(decoded, key=lambda one: psnr(picture, one[0]))
    return Shown(name, best, size)


def by_jpeg(picture: np.ndarray, most: int) -> Shown:
    options = {"optimize": True, "progressive": True}
    kinds = [by_pillow(picture, most, "JPEG", subsampling=chroma, **options) for chroma in ("4:4:4", "4:2:0")]
    return max(kinds, key=lambda shown: psnr(picture, shown.picture))


def by_webp(picture: np.ndarray, most: int) -> Shown:
    return by_pillow(picture, most, "WebP", method=6)


@in_style
def side_by_side(panels: Sequence[Shown]) -> bytes:
    """CROP of each, two in a row; above it what it is, and the bytes and PSNR of the whole."""
    rows, columns = (ENLARGED * (part.stop - part.start) for part in CROP)
    height, width = 2 * (rows + CAPTION) + GAP, 2 * (columns + GAP) + GAP
    figure = new_figure(width / DPI, height / DPI)
    for i, shown in enumerate(panels):
        left, top = GAP + i % 2 * (columns + GAP), CAPTION + i // 2 * (rows + CAPTION)
        axes = figure.add_axes((left / width, 1 - (top + rows) / height, columns / width, rows / height))
        axes.imshow(shown.picture[CROP], interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        told = f": {shown.size} bytes, {psnr(panels[0].picture, shown.picture):.2f} dB" if shown.size else ""
        axes.set_title(shown.name + told, loc="left", pad=4)
    return encoded(figure, ".png")


def smaller(png: bytes, colours: int) -> bytes:
    """The same picture in fewer colours."""
    file = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        image.convert("RGB").quantize(colours, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    curve = kinds.add_parser("curve")
    curve.add_argument("measured", type=Path, metavar="FILE.json")
    curve.add_argument("--most-bpp", type=float, default=1.6)
    curve.add_argument("--out", type=Path, default=FOLDER / "box_curve.png")
    equal = kinds.add_parser("photo")
    equal.add_argument("--bytes", type=int, default=9000)
    equal.add_argument("--run", type=Path, metavar="RUN")
    equal.add_argument("--out", type=Path, default=FOLDER / "box_photo.png")
    options = parser.parse_args()
    if options.kind == "curve":
        made = curve_picture(json.loads(options.measured.read_text()), options.most_bpp)
        options.out.write_bytes(smaller(made, 64))
        return
    original = photo()
    others = [by_jpeg(original, options.bytes), by_webp(original, options.bytes)]
    box = by_box(original, min(other.size or 0 for other in others), options.run)
    panels = [Shown("original", original), box, *others]
    options.out.write_bytes(smaller(side_by_side(panels), COLOURS))


if __name__ == "__main__":
    main()
