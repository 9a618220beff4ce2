"""Photos, and a store of their pixels in a test's folder."""

from pathlib import Path

import numpy as np
from PIL import Image

from lic_exp.data.images import ImageRef
from lic_exp.data.pixel_store import PixelStore

H, W = 50, 40
PHOTO = H * W * 3


def made_photos(folder: Path) -> list[ImageRef]:
    """Four of H x W pixels."""
    folder.mkdir()
    made = []
    for i in range(4):
        path = folder / f"{i}.png"
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (H, W, 3), dtype=np.uint8)).save(path)
        made.append(ImageRef(path, path.name))
    return made


def store(tmp_path: Path, megabytes: int = 100) -> PixelStore:
    return PixelStore(megabytes, tmp_path / "store")


def stored(tmp_path: Path, kind: str = "photos") -> list[Path]:
    """Its files of one kind."""
    return sorted(path for path in (tmp_path / "store" / kind).rglob("*") if path.is_file())
