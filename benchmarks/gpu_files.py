"""Files made on one device and decoded on another, both ways, and how long a decode takes.

    python benchmarks/gpu_files.py [MODEL[:QUALITY] ...] [--images FOLDER] [--devices cuda cpu] [--out FILE]

MODEL: a name, which gets random weights, or the folder of a run. Every image is coded on either device in plain and in
portable mode and decoded on both. What happened is told for each way: how many files were decoded, how many samples of
a million of their pictures differ from those that the encoder's device decodes, by how many levels at most, or why they
were refused. Then the median seconds of a decode of 512x768 in each mode. Needs no pandas. Without a GPU both devices
may be the CPU, which tries the script and shows nothing else.
"""

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from measuring import bundled_photos, machine
from PIL import Image

import lic_exp
from lic_exp.files.coding import decode_image, encode_image
from lic_exp.files.layout import FileError
from lic_exp.files.parsing import parse
from lic_exp.models.base import Codec

MODELS = ("dhic_paper:0", "hpcm_base", "dhic_tiny:20", "hpcm_tiny", "mean_scale_hyperprior_tiny")
TIMED = (512, 768)
REPEATS = 7
MODE = {False: "plain", True: "portable"}
HEAD = """| codec | from, to | mode | bpp | decoded | samples of a million that differ, by levels | refused |
|---|---|---|---|---|---|---|"""


def codec_named(name: str, device: str) -> Codec:
    """A run's codec, or a model with random weights, the same on every device."""
    if Path(name).is_dir():
        return lic_exp.find_run(Path(name).name, Path(name).parent).codec(device)
    torch.manual_seed(0)
    return lic_exp.create_model(name).eval().to(device)


def modes_of(codec: Codec) -> list[bool]:
    """Whether portable: once without, and with where it can."""
    try:
        codec.portable_mode()
    except ValueError:
        return [False]
    return [False, True]


def both_ways(
    codecs: dict[str, Codec], images: Sequence[np.ndarray], quality: float | None, *, portable: bool
) -> list[str]:
    """Rows of what is made on one device and decoded on the other."""
    rows = []
    for maker, reader in (tuple(codecs), tuple(codecs)[::-1]):
        files = [encode_image(image, codecs[maker], quality=quality, portable=portable) for image in images]
        bpp = statistics.fmean(
            8 * parse(file).string_bytes / image[..., 0].size for file, image in zip(files, images, strict=True)
        )
        refused: Counter[str] = Counter()
        off, samples, most = 0, 0, 0
        for file in files:
            own = decode_image(file, codecs[maker], form="array").astype(int)
            try:
                other = decode_image(file, codecs[reader], form="array").astype(int)
            except FileError as error:
                refused[str(error)] += 1
                continue
            off, samples, most = off + int((own != other).sum()), samples + own.size, max(most, abs(own - other).max())
        differing = f"{1e6 * off / samples:.1f}, by {most}" if samples else "-"
        why = "; ".join(f"{count}: {reason[:100]}" for reason, count in refused.items()) or "-"
        decoded = len(files) - refused.total()
        rows.append(
            f"{maker} to {reader} | {MODE[portable]} | {bpp:.3f} | {decoded} of {len(files)} | {differing} | {why} |"
        )
    return rows


def seconds(codec: Codec, quality: float | None, *, portable: bool) -> tuple[float, float]:
    """Of a decode of one image, median after a first; and the bpp of its file."""
    image = np.array(Image.open(bundled_photos()[0]).convert("RGB").resize(TIMED[::-1]))
    file = encode_image(image, codec, quality=quality, portable=portable)
    spent = []
    for _ in range(1 + REPEATS):
        began = time.perf_counter()
        decode_image(file, codec, form="array")
        spent.append(time.perf_counter() - began)
    return statistics.median(spent[1:]), 8 * parse(file).string_bytes / (TIMED[0] * TIMED[1])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--images", type=Path, help="a folder of PNGs; else photos of installed packages")
    parser.add_argument("--limit", type=int, default=3)
    there = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--devices", nargs=2, default=[there, "cpu"])
    parser.add_argument("--out", type=Path, help="where the tables also go")
    options = parser.parse_args(arguments)
    paths = sorted(options.images.glob("*.png")) if options.images else bundled_photos()
    images = [np.array(Image.open(path).convert("RGB")) for path in paths[: options.limit]]
    name = torch.cuda.get_device_name() if "cuda" in options.devices else "no GPU"
    lines = [f"{machine()}, {name}, torch {torch.__version__}; {len(images)} images", "", HEAD]
    print(*lines, sep="\n", flush=True)
    for told in options.models:
        model, _, quality = told.partition(":")
        rate = float(quality) if quality else None
        # Two on the same device are two codecs, which shows as much as one machine can.
        codecs = {f"{device} ({place})": codec_named(model, device) for place, device in enumerate(options.devices, 1)}
        modes = modes_of(next(iter(codecs.values())))
        rows = [row for portable in modes for row in both_ways(codecs, images, rate, portable=portable)]
        for device, codec in codecs.items():
            for portable in modes:
                took, bpp = seconds(codec, rate, portable=portable)
                rows.append(f"{device} | {MODE[portable]} | {bpp:.3f} | decode of 512x768: {1e3 * took:.1f} ms | |")
        rows = [f"| {told} | {row}" for row in rows]
        print(*rows, sep="\n", flush=True)
        lines += rows
    if options.out:
        options.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
