"""Files of this version of the format, which every later one decodes: `expected/files`, beside what is decoded of them.

    python tests/golden_files.py

adds what is missing, such as files of a later version or mode. What is there is never made anew: people have such.
"""

from pathlib import Path

from file_codecs import FOUR, codec_of, pixels
from PIL import Image

from lic_exp.files.coding import decode_image, encode_image
from lic_exp.files.memory import bytes_per_pixel

FOLDER = Path(__file__).parent / "expected" / "files"
SIDES = (47, 70)
PORTABLE = ("dhic_tiny", "hpcm_tiny", "mean_scale_hyperprior_tiny")


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name in FOUR:
        _add(f"1_{name}", encode_image(pixels(*SIDES), codec_of(name), portable=False), name)
    for name in PORTABLE:
        _add(f"1_portable_{name}", encode_image(pixels(*SIDES), codec_of(name), portable=True), name)
    image = Image.fromarray(pixels(80, 130)).convert("LA")
    codec = codec_of(FOUR[2])
    small = int(64 * 64 * bytes_per_pixel(codec))
    _add("1_tiles_of_grey_with_alpha", encode_image(image, codec, memory=small, portable=False), FOUR[2])


def _add(stem: str, data: bytes, name: str) -> None:
    path = FOLDER / f"{stem}.lic"
    if not path.exists():
        path.write_bytes(data)
        decode_image(data, codec_of(name)).save(path.with_suffix(".png"))


if __name__ == "__main__":
    main()
