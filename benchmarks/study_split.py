"""Divide folders of photographs into those that a study trains on, validates on, and chooses learning rates on.

    python benchmarks/study_split.py PHOTOS -o SPLIT

PHOTOS holds the folders cid22, clic2025_tiles and gb82 (docs/study.md); SPLIT gets the folders train, validation and
selection, of links to them. By source photograph: the 32 photographs of cid22 and gb82 whose names have the smallest
SHA-256 are held out, 16 for validation, then 16 for selection; all others train. Tiles of one photograph always train,
so that no two parts of one are on different sides.
"""

import argparse
import hashlib
from pathlib import Path

HELD_OUT = ("validation", "selection")
EACH = 16
WHOLE = ("cid22", "gb82")
"""Folders whose files are photographs; in others a file may be a tile of one."""


def split(photos: list[str]) -> dict[str, str]:
    """{file: "train", "validation" or "selection"}, of files "folder/name" below the same place."""
    whole = [photo for photo in photos if photo.split("/")[0] in WHOLE]
    drawn = sorted(whole, key=lambda photo: hashlib.sha256(photo.encode()).hexdigest())
    held_out = {photo: HELD_OUT[place // EACH] for place, photo in enumerate(drawn[: EACH * len(HELD_OUT)])}
    return {photo: held_out.get(photo, "train") for photo in photos}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    options = parser.parse_args()
    found = [path for path in sorted(options.photos.rglob("*")) if path.suffix in (".png", ".webp")]
    names = [path.relative_to(options.photos).as_posix() for path in found]
    for path, (name, side) in zip(found, split(names).items(), strict=True):
        link = options.out / side / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(path.resolve())
    for side in ("train", *HELD_OUT):
        count = sum(one == side for one in split(names).values())
        print(f"{side}: {count} images in {options.out / side}")


if __name__ == "__main__":
    main()
