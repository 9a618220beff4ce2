"""A third set of images: it neither trains nor validates, and only evaluation sees it."""

from pathlib import Path

import pytest
from PIL import Image

from lic_exp.data.images import SourceImage, list_images
from lic_exp.data.preflight import which_are_among
from lic_exp.data.sources import Bundled, BundledThreeWay, Folder, Synthetic, fingerprint_of_held_out, held_out

THREE = BundledThreeWay()


def test_what_trains_and_validates_is_that_of_the_bundled_photos() -> None:
    assert THREE.train() == Bundled().train()
    assert THREE.val() == Bundled().val()
    assert THREE.fingerprint() == Bundled().fingerprint()


def test_eight_photos_are_held_out_large_enough_for_the_crops_of_tables() -> None:
    shapes = [image.load().shape for image in held_out(THREE)]
    assert len(shapes) == 8
    assert all(min(height, width) >= 256 and channels == 3 for height, width, channels in shapes)


def test_no_photo_that_is_held_out_trains_or_validates(tmp_path: Path) -> None:
    others = [*THREE.train()[0].images, *THREE.val()]
    assert which_are_among(held_out(THREE), others, tmp_path / "seen") == [False] * 8


def test_the_photos_held_out_have_a_fingerprint_of_their_own() -> None:
    assert THREE.test_fingerprint() not in (THREE.fingerprint(), "")
    assert THREE.test_fingerprint() == BundledThreeWay().test_fingerprint()


@pytest.mark.parametrize(
    "source",
    [
        Bundled(),
        Folder(train=["a"], val=["b"], train_weights=None),
        Synthetic(train_images=1, val_images=1, height=8, width=8, image_seed=0),
    ],
    ids=lambda source: type(source).__name__,
)
def test_sources_of_two_sets_hold_nothing_out(source: Bundled) -> None:
    assert not held_out(source)


@pytest.mark.parametrize("change", ["none", "name", "format", "size", "other"])
def test_a_photo_is_known_under_another_name_format_and_size(tmp_path: Path, change: str) -> None:
    photo = THREE.val()[0]
    picture = Image.fromarray(photo.load())
    if change == "size":
        picture = picture.resize((256, 256))
    if change == "other":
        picture = Image.fromarray(held_out(THREE)[0].load())
    path = tmp_path / ("kept.jpg" if change == "format" else photo.name if change == "none" else "kept.png")
    picture.save(path)
    assert which_are_among(list_images(path), THREE.val(), None) == [change != "other"]


class Untold:
    """Somebody's own, which holds out images and does not say what they are."""

    def __init__(self, count: int) -> None:
        self._count = count

    def test(self) -> list[SourceImage]:
        return list(THREE.test()[: self._count])


@pytest.mark.parametrize("count", [1, 3])
def test_images_held_out_without_a_fingerprint_are_an_error_that_names_the_method(count: int) -> None:
    with pytest.raises(ValueError, match=r"^Untold has a method test and no test_fingerprint: add one"):
        fingerprint_of_held_out(Untold(count))  # type: ignore[arg-type]


def test_no_images_held_out_need_no_fingerprint() -> None:
    assert fingerprint_of_held_out(Untold(0)) is None  # type: ignore[arg-type]
    assert fingerprint_of_held_out(Bundled()) is None
    assert fingerprint_of_held_out(THREE) == THREE.test_fingerprint()
