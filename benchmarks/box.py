"""The pretrained codec `box` against JPEG, WebP, AVIF and JPEG XL, every byte counted; its time and its memory.

    python benchmarks/box.py [FOLDER] [--limit 8] [--out FILE.json] [--run RUN]

FOLDER: photos; without it those of installed packages. Prints Markdown. BD-rates are those of RGB PSNR and MS-SSIM [dB]
by PCHIP, over what two curves share of 0.15 to 1.5 bpp: a curve that goes on beyond is cut there, at a quality between
its points. JPEG is that of `python -m analysis anchors`, and beside it the progressive one, whichever is better at a
rate of 4:2:0 and 4:4:4. Seconds and memory are of one core and of fresh processes: one that encodes, and another that
decodes its file. FILE.json gets all that the card of the codec and the pictures of the documents are made of. RUN: the
folder of a run, whose best weights are measured in place of those that are shipped.
"""

import argparse
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from coding_memory import peak_mb
from measuring import bundled_photos, machine
from PIL import Image
from scipy.interpolate import PchipInterpolator

from analysis.bd import BD, bd_rate
from analysis.curve_files import Curve
from analysis.errors import CurveError
from analysis.measured.codec import AnchorCodec, shipped_codec
from analysis.measured.curves import Chosen, choose, measured_curves
from analysis.measured.lic import LicCodec
from analysis.measured.photos import PhotoSet, photos_of_folder
from analysis.measured.pillow import PillowCodec
from analysis.measured.progress import ProgressLines
from lic_exp.json_text import json_text

RATES = 0.15, 1.5
"""[bits of whole files per pixel]"""

SIDES, DONE = (512, 768), ("encode", "decode")
METRICS = {"psnr": "PSNR", "ms-ssim-db": "MS-SSIM"}
JPEG_QUALITIES = (4, 7, 12, 20, 30, 42, 55, 66, 76, 84, 90, 94)
WEBP_QUALITIES = (0, 4, 10, 20, 35, 50, 64, 76, 83, 88, 92, 95)
PROGRESSIVE, CHROMAS = "jpeg, progressive", ("4:4:4", "4:2:0")
OTHERS = ("webp", "avif", "jpegxl")

Points = tuple[np.ndarray, np.ndarray]
"""Rates and qualities (n,), by rate."""


def codecs(box: AnchorCodec) -> Chosen:
    """The box, and those of the others that are here."""
    jpeg = shipped_codec("jpeg")
    assert isinstance(jpeg, PillowCodec)
    options = {**jpeg.options, "progressive": True}
    chosen: dict[str, AnchorCodec] = {"box": box, "jpeg": replace(jpeg, qualities=JPEG_QUALITIES)}
    for chroma in CHROMAS:
        name = f"{PROGRESSIVE} {chroma}"
        conversion = replace(jpeg.conversion, chroma=chroma)
        more = {"options": {**options, "subsampling": chroma}, "qualities": JPEG_QUALITIES}
        chosen[name] = replace(jpeg, name=name, conversion=conversion, **more)
    others = choose(OTHERS, {"webp": WEBP_QUALITIES})
    own = {name: (codec, codec.qualities) for name, codec in chosen.items()}
    return Chosen(own | others.codecs, others.missing)


def points(curves: Mapping[str, Curve], name: str, metric: str) -> Points:
    """Those of a codec, by rate; of progressive JPEG those of either chroma at whose rates the other is no better."""
    parts = [sorted_points(curves[own], metric) for own in made_of(name)]
    kept = [
        (rate, quality)
        for rates, qualities in parts
        for rate, quality in zip(rates, qualities, strict=True)
        if not any(is_above(other, rate, quality) for other in parts)
    ]
    rates, qualities = (np.array(column) for column in zip(*sorted(kept), strict=True))
    rising = np.concatenate([[True], qualities[1:] > np.maximum.accumulate(qualities)[:-1]])
    return rates[rising], qualities[rising]


def made_of(name: str) -> Sequence[str]:
    return [f"{name} {chroma}" for chroma in CHROMAS] if name == PROGRESSIVE else [name]


def sorted_points(curve: Curve, metric: str) -> Points:
    order = np.argsort(curve.bpp)
    return curve.bpp[order], curve.quality(metric)[order]


def is_above(other: Points, rate: float, quality: float) -> bool:
    """Whether another curve is better at this rate."""
    rates, _ = other
    return rates[0] <= rate <= rates[-1] and float(between(other)(np.log(rate))) > quality + 1e-9


def between(curve: Points) -> PchipInterpolator:
    """The quality at the logarithm of a rate."""
    return PchipInterpolator(np.log(curve[0]), curve[1])


def within(curve: Points) -> Points:
    """The part of a curve that lies within RATES."""
    rates, _ = curve
    ends = [rate for rate in RATES if rates[0] < rate < rates[-1]]
    kept = np.unique([*ends, *(rate for rate in rates if RATES[0] <= rate <= RATES[1])])
    return kept, between(curve)(np.log(kept))


def compared(curves: Mapping[str, Curve], anchors: Iterable[str]) -> dict[str, dict[str, BD | str]]:
    """{metric: {anchor: BD-rate of the box [%], or why there is none}}"""
    found: dict[str, dict[str, BD | str]] = {metric: {} for metric in METRICS}
    for metric, by_anchor in found.items():
        for anchor in anchors:
            try:
                by_anchor[anchor] = bd_rate(
                    *(part for name in (anchor, "box") for part in within(points(curves, name, metric)))
                )
            except CurveError as error:
                by_anchor[anchor] = str(error)
    return found


def print_compared(found: Mapping[str, Mapping[str, BD | str]]) -> None:
    titles = " | ".join(f"BD-rate, {name} [%] | between [dB]" for name in METRICS.values())
    print(f"| against | {titles} |\n|---|{'---|' * 2 * len(METRICS)}")
    for anchor in found["psnr"]:
        cells = []
        for by_anchor in found.values():
            value = by_anchor[anchor]
            shared = "" if isinstance(value, str) else f"{value.shared[0]:.1f} to {value.shared[1]:.1f}"
            cells += [value if isinstance(value, str) else f"{value:+.1f}", shared]
        print(f"| {anchor} | {' | '.join(cells)} |")


def figures(box: Curve) -> list[dict[str, float]]:
    """What the card says of each rate."""
    columns = box.bpp, box.quality("psnr"), box.quality("ms-ssim-db")
    rows = zip(box.about["points"], *columns, strict=True)
    return [
        {"quality": point["quality"], "bpp_file": round(bpp, 4), "psnr": round(psnr, 3), "ms_ssim_db": round(ssim, 3)}
        for point, bpp, psnr, ssim in rows
    ]


def codec_of(run: Path | None) -> Any:
    import lic_exp

    return lic_exp.load_pretrained("box") if run is None else lic_exp.find_run(run.name, run.parent).codec("cpu")


def timed_coding(
    do: str, run: Path | None, content: bytes, quality: float, repeats: int
) -> tuple[bytes, dict[str, float]]:
    """The file of a picture, or what is decoded of a file; with seconds and memory, in a process of its own."""
    import torch

    from lic_exp.files.coding import decode_image, encode_image

    torch.set_num_threads(1)
    codec = codec_of(run)
    picture = np.frombuffer(content, np.uint8).reshape(*SIDES, 3) if do == "encode" else None
    before, seconds, made = peak_mb(now=True), [], b""
    for _ in range(1 + repeats):
        began = time.perf_counter()
        if picture is not None:
            made = encode_image(picture, codec, quality=quality)
        else:
            made = decode_image(content, codec, form="array").tobytes()
        seconds.append(time.perf_counter() - began)
    return made, {"first_s": seconds[0], "s": statistics.median(seconds[1:]), "mb": peak_mb(now=False) - before}


def coding(picture: np.ndarray, run: Path | None, qualities: Sequence[float], repeats: int) -> list[dict]:
    """Of some qualities: bytes, and what encoding and decoding take."""
    rows = []
    for quality in qualities:
        row: dict[str, Any] = {"quality": quality}
        content = picture.tobytes()
        for do in DONE:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                content, spent = pool.apply(timed_coding, (do, run, content, quality, repeats))
            row |= {f"{do}_{key}": round(value, 4) for key, value in spent.items()}
            row.setdefault("bytes", len(content))
        rows.append(row)
    return rows


def print_coding(rows: Sequence[Mapping[str, Any]]) -> None:
    print("| quality | bytes | encode [s] | the first | peak [MB] | decode [s] | the first | peak [MB] |")
    print(f"|{'---|' * 8}")
    for row in rows:
        cells = [
            f"{row[f'{do}_{key}']:{form}}"
            for do in DONE
            for key, form in (("s", ".3f"), ("first_s", ".3f"), ("mb", ".0f"))
        ]
        print(f"| {row['quality']:g} | {row['bytes']} | {' | '.join(cells)} |")


def commands(picture: np.ndarray, arguments: Sequence[str]) -> dict[str, dict[str, float]]:
    """Wall seconds and peak memory of `compress` and `decompress` as people give them, start and loading included."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        Image.fromarray(picture).save(f"{folder}/photo.png")
        for word, given, made in (("compress", "photo.png", "photo.lic"), ("decompress", "photo.lic", "back.png")):
            command = [sys.executable, "-m", "lic_exp", word, f"{folder}/{given}", "-o", f"{folder}/{made}", *arguments]
            began = time.perf_counter()
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            _, status, spent = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                sys.exit(f"{' '.join(command)}: exit code {process.returncode}")
            found[word] = {"s": round(time.perf_counter() - began, 2), "mb": round(spent.ru_maxrss / 1024)}
    return found


def sized(picture: np.ndarray) -> np.ndarray:
    """A picture of SIDES: its beginning, continued by its mirror image."""
    missing = [(0, max(0, side - own)) for side, own in zip(SIDES, picture.shape[:2], strict=True)]
    mirrored = np.pad(picture, [*missing, (0, 0)], mode="symmetric")
    return np.ascontiguousarray(mirrored[: SIDES[0], : SIDES[1]])


def photos_of(folder: Path | None, limit: int | None) -> PhotoSet:
    if folder is not None:
        return photos_of_folder(folder, limit)
    sets = [photos_of_folder(path) for path in bundled_photos()]
    return PhotoSet("installed packages", [s.photos[0] for s in sets], [s.pictured[0] for s in sets])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, metavar="FOLDER")
    parser.add_argument("--limit", type=int, metavar="N", help="the first N photos")
    parser.add_argument("--out", type=Path, metavar="FILE.json")
    parser.add_argument("--run", type=Path, metavar="RUN", help="its folder: in place of the box")
    parser.add_argument("--repeats", type=int, default=5, help="of each coding that is timed (default: %(default)s)")
    options = parser.parse_args()
    box = shipped_codec("box")
    assert isinstance(box, LicCodec)
    if options.run is not None:
        run = options.run.absolute()
        box = replace(box, chosen=["--run", str(run)], file=run / "checkpoints" / "best.pt")
    if (reason := box.missing()) is not None:
        sys.exit(f"box: {reason}")
    os.environ["OMP_NUM_THREADS"] = "1"  # of all that is started below
    photos = photos_of(options.folder, options.limit)
    chosen = codecs(box)
    total = sum(len(qualities) for _, qualities in chosen.codecs.values()) * len(photos.photos)
    with ProgressLines(total) as progress:
        curves = {one.name: one for one in measured_curves(chosen, photos, container="in", progress=progress)}
    anchors = ["jpeg", PROGRESSIVE, *(name for name in OTHERS if name in curves)]
    found = compared(curves, anchors)
    print(f"{machine()}; {len(photos.photos)} photos of {photos.name}; {RATES[0]} to {RATES[1]} bpp of whole files\n")
    print_compared(found)
    print("\n| quality | bpp of the file | PSNR [dB] | MS-SSIM [dB] |\n|---|---|---|---|")
    for row in figures(curves["box"]):
        print(f"| {row['quality']:g} | {row['bpp_file']:.4f} | {row['psnr']:.2f} | {row['ms_ssim_db']:.2f} |")
    picture = sized(photos.photos[0].load())
    rows = coding(picture, options.run, [box.qualities[i] for i in (0, len(box.qualities) // 2, -1)], options.repeats)
    print(f"\n{SIDES[1]}x{SIDES[0]}, one core, medians of {options.repeats} after a first:\n")
    print_coding(rows)
    whole = commands(picture, box.arguments)
    spent = (f"{word} {used['s']:.1f} s, {used['mb']:.0f} MB" for word, used in whole.items())
    print(f"\nWhole commands, from start to end, and all memory of the process: {'; '.join(spent)}.")
    for name, reason in chosen.missing.items():
        print(f"\n{name} is left out: {reason}")
    if options.out is not None:
        record = {
            "measured_on": machine(),
            "images": photos.identity(),
            "rates": {"container": "in", "bpp": RATES},
            "codecs": {name: [codec.version(), codec.command(q[0])] for name, (codec, q) in chosen.codecs.items()},
            "figures": figures(curves["box"]),
            "bd_rate": {metric: {name: number(one) for name, one in by.items()} for metric, by in found.items()},
            "coding": rows,
            "commands": whole,
            "curves": {
                metric: {
                    name: [part.round(4).tolist() for part in points(curves, name, metric)]
                    for name in ["box", *anchors]
                }
                for metric in METRICS
            },
        }
        options.out.write_text(json_text(record, indent=1) + "\n")


def number(found: BD | str) -> float | str:
    return found if isinstance(found, str) else round(float(found), 2)


if __name__ == "__main__":
    main()
