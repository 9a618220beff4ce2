"""What tiles cost against whole pictures, in PSNR and bpp, and a picture of a seam.

    python benchmarks/tiles.py [IMAGE ...] [--weights runs/<run>/checkpoints/best.pt] [--model NAME] [--picture FILE]

Without weights they are random, and without images photos of installed packages are taken. Tiles are made far
smaller than memory asks for, so that there are seams to look at. The picture shows, of the first
image around the corner where four tiles meet: the whole, the tiles, the tiles without blending, and eight times the
difference of either from the whole.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from measuring import bundled_photos, machine
from PIL import Image

import lic_exp
from lic_exp.files.coding import decode_picture, encode_picture
from lic_exp.files.memory import bytes_per_pixel
from lic_exp.files.parsing import parse
from lic_exp.files.pixels import Picture, samples
from lic_exp.files.reading import read_picture
from lic_exp.files.targets import psnr_of
from lic_exp.files.tiles import OVERLAP, Tiling, crops

TILES = (128, 256, 384)
AROUND, ENLARGED, SEEN = 64, 2, 8


def hard_edged(picture: Picture, codec: object, tiling: Tiling, quality: float | None) -> np.ndarray:
    """The same tiles, each put whole over the ones before it."""
    whole = np.zeros_like(picture.colour)
    for tile, part in zip(tiling, crops(picture, tiling), strict=True):
        of_tile = Picture(samples(part, grey=False, bits=8))
        decoded = decode_picture(parse(encode_picture(of_tile, codec, quality=quality)), codec)  # type: ignore[arg-type]
        whole[tile.top : tile.top + tile.height, tile.left : tile.left + tile.width] = decoded.colour
    return whole


def seams(whole: np.ndarray, tiled: np.ndarray, hard: np.ndarray, corner: tuple[int, int]) -> Image.Image:
    top, left = (max(0, place - AROUND) for place in corner)
    shown = [one[top : top + 2 * AROUND, left : left + 2 * AROUND] for one in (whole, tiled, hard)]
    differences = [128 + SEEN * (one.astype(int) - shown[0]) for one in shown]
    rows = [np.hstack(shown), np.hstack([np.clip(one, 0, 255).astype(np.uint8) for one in differences])]
    large = np.vstack(rows).repeat(ENLARGED, 0).repeat(ENLARGED, 1)
    return Image.fromarray(large)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="*", type=Path)
    parser.add_argument("--weights")
    parser.add_argument("--model", default="dhic_tiny")
    parser.add_argument("--quality", type=float)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    torch.manual_seed(0)
    codec = lic_exp.create_model(options.model, weights=options.weights)
    print(f"{machine()}; {options.model}, quality {options.quality}, overlap {OVERLAP}\n")
    print(
        "| image | tiles | bpp | PSNR [dB] | bpp against whole | PSNR against whole [dB] |\n|---|---|---|---|---|---|"
    )
    for index, path in enumerate(options.images or bundled_photos()):
        picture = read_picture(path.read_bytes())
        pixels, whole_bpp, whole_psnr, whole_colour = picture.height * picture.width, 0.0, 0.0, picture.colour
        for side in (None, *TILES):
            memory = None if side is None else int(side * side * bytes_per_pixel(codec))
            file = parse(encode_picture(picture, codec, quality=options.quality, memory=memory))
            decoded = decode_picture(file, codec)
            bpp, psnr = 8 * file.string_bytes / pixels, psnr_of(decoded, picture)
            if side is None:
                whole_bpp, whole_psnr, whole_colour = bpp, psnr, decoded.colour
            tile = file.tile
            name = f"{len(file.strings)} of {tile.width}x{tile.height}" if tile else "whole"
            print(
                f"| {path.stem} | {name} | {bpp:.4f} | {psnr:.3f} | {100 * (bpp / whole_bpp - 1):+.2f} % | "
                f"{psnr - whole_psnr:+.3f} |",
                flush=True,
            )
            if options.picture and tile and index == 0 and side == TILES[1]:
                tiling = Tiling(picture.height, picture.width, tile.height, tile.width, tile.overlap)
                corner = tile.height - OVERLAP // 2, tile.width - OVERLAP // 2
                hard = hard_edged(picture, codec, tiling, options.quality)
                seams(whole_colour, decoded.colour, hard, corner).save(options.picture)


if __name__ == "__main__":
    main()
