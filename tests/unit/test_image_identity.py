"""Images are known by their pixels: wherever they lie, however they are called, whatever file they are coded in."""

import io

import numpy as np
import pytest
from PIL import Image

from lic_exp.image_identity import Pictured, identity, images_fingerprint, pixels_digest

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (24, 40, 3), np.uint8)


def digest(pixels: np.ndarray) -> str:
    return pixels_digest(pixels.shape[0], pixels.shape[1], np.ascontiguousarray(pixels).tobytes())


def test_it_is_that_of_the_public_lists_of_kodaks_pixels() -> None:
    """A sha256 over "HxWx3:" and the pixels, row by row, of which the first digits are kept."""
    assert pixels_digest(1, 2, bytes([0, 1, 2, 253, 254, 255])) == "ec8a1c28a682181b"


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_what_file_they_are_in_does_not_matter(kind: str) -> None:
    file = io.BytesIO()
    Image.fromarray(PHOTO).save(file, kind, **({"lossless": True} if kind == "WEBP" else {}))
    assert digest(np.asarray(Image.open(file).convert("RGB"))) == digest(PHOTO)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(PHOTO[:, :-1], id="a column less"),
        pytest.param(PHOTO[4:-4, 8:-8], id="a crop"),
        pytest.param(PHOTO.reshape(40, 24, 3), id="the same bytes in another shape"),
        pytest.param(PHOTO[..., ::-1], id="BGR"),
        pytest.param(PHOTO ^ np.uint8(1), id="a bit of each"),
    ],
)
def test_other_pixels_are_other_images(other: np.ndarray) -> None:
    assert digest(other) != digest(PHOTO)


def test_a_set_has_no_order_and_counts_what_is_twice_in_it() -> None:
    assert images_fingerprint(["a", "b", "b"]) == images_fingerprint(["b", "a", "b"])
    assert images_fingerprint(["a", "b", "b"]) != images_fingerprint(["a", "b"])


def test_what_files_say_of_it() -> None:
    images = [Pictured("a.png", 24, 40, "11"), Pictured("b.png", 40, 24, "22"), Pictured("c.png", 24, 40, "33")]
    assert identity("holiday", images) == {
        "name": "holiday",
        "number": 3,
        "fingerprint": images_fingerprint(["11", "22", "33"]),
        "sizes": {"40 x 24": 2, "24 x 40": 1},
        "pixels": {"a.png": "11", "b.png": "22", "c.png": "33"},
    }
