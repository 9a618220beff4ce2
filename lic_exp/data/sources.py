"""Where images come from: the options of `data=...`. Imports no torch, and nothing slow until an image is loaded."""

import hashlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

from lic_exp.capabilities import signed_as
from lic_exp.data.fingerprints import fingerprint
from lic_exp.data.images import ImageError, ImageRef, Listed, SourceImage, list_images
from lic_exp.option_types import PositiveFloat, PositiveInt, Seed, Unsigned
from lic_exp.requirements import Distinct, declares

__all__ = [
    "Bundled",
    "BundledThreeWay",
    "Folder",
    "Group",
    "ImageError",
    "ImageRef",
    "ImageSource",
    "SourceImage",
    "Synthetic",
    "SyntheticImage",
    "ThreeWaySource",
    "fingerprint",
    "fingerprint_of_held_out",
    "held_out",
    "list_images",
]

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Group:
    """Images that are drawn alike, and the group's share of the samples relative to the other groups."""

    images: Sequence[SourceImage]
    weight: float = 1.0


class ImageSource(Protocol):
    """A training set and a validation set of images."""

    def train(self) -> list[Group]:
        """The training images. One group is drawn without replacement, several by weight (`lic_exp.data.sampling`)."""

    def val(self) -> Sequence[SourceImage]:
        """The validation images, in a fixed order."""

    def fingerprint(self) -> str:
        """A hexadecimal digest of what is in both sets, the same wherever they lie."""


class ThreeWaySource(ImageSource, Protocol):
    """A source with images of a third kind: they train nothing and choose nothing, they are evaluated."""

    def test(self) -> Sequence[SourceImage]:
        """The test images, in a fixed order; none where evaluation takes the validation images."""

    def test_fingerprint(self) -> str:
        """A hexadecimal digest of the test images alone, the same wherever they lie."""


def held_out(source: ImageSource) -> Sequence[SourceImage]:
    """The test images of a source; none where it has no such."""
    find = getattr(source, "test", None)
    return find() if find else ()


def fingerprint_of_held_out(source: ImageSource) -> str | None:
    """A digest of a source's test images; None where it has none. Raises ValueError where it cannot tell."""
    if not held_out(source):
        return None
    find = getattr(source, "test_fingerprint", None)
    if find is None:
        raise ValueError(
            f"{type(source).__name__} has a method test and no test_fingerprint: add one that returns a digest of its "
            "test images (lic_exp.data.sources.fingerprint(self.test()) for files)"
        )
    found: str = find()
    return found


@signed_as("bundled")
class Bundled:
    """Eight photographs that installed packages carry: training needs no data set and no download.

    Scenes are split whole; the two sides of the stereo pair are one scene, in training. The two validation photos
    are lossless PNG, one square and one 3:2, so that validation never measures a JPEG encoder's artefacts.

    From scikit-image: astronaut (NASA, public domain), coffee (Rachel Michetti, CC0), chelsea (Stefan van der Walt,
    CC0), rocket (SpaceX, public domain), motorcycle (Scharstein et al., Middlebury stereo benchmark 2014).
    From scikit-learn: china and flower (CC BY 2.0, attribution in its datasets/images/README.txt).
    They are read where those packages lie, and redistributed nowhere.
    """

    TRAIN = (
        ("scikit-image", "skimage", "data/chelsea.png"),
        ("scikit-image", "skimage", "data/motorcycle_left.png"),
        ("scikit-image", "skimage", "data/motorcycle_right.png"),
        ("scikit-image", "skimage", "data/rocket.jpg"),
        ("scikit-learn", "sklearn", "datasets/images/china.jpg"),
        ("scikit-learn", "sklearn", "datasets/images/flower.jpg"),
    )
    VAL = (
        ("scikit-image", "skimage", "data/astronaut.png"),
        ("scikit-image", "skimage", "data/coffee.png"),
    )

    def train(self) -> list[Group]:
        return [Group([_packaged(*photo) for photo in self.TRAIN])]

    def val(self) -> list[ImageRef]:
        return [_packaged(*photo) for photo in self.VAL]

    def fingerprint(self) -> str:
        return fingerprint([_packaged(*photo) for photo in self.TRAIN], self.val())


@signed_as("bundled")
class BundledThreeWay(Bundled):
    """The photographs of `Bundled`, and eight others to evaluate: they neither train a codec nor choose its weights.

    What is trained is the same, and so is its name. No scene of the others is among the first eight. Six are lossless,
    two high-quality JPEG; five are grey, since installed packages carry few others in colour, so that their figures
    compare codecs that were trained alike and are no measure of a codec beside those of Kodak.

    From scikit-image: camera (Lav Varshney, CC0), coins (Brooklyn Museum, no known restrictions), brick, grass and
    gravel (CC0 Textures, CC0), ihc (CMMI, no known restrictions), hubble_deep_field (NASA, public domain). From
    matplotlib: grace_hopper (US Navy, public domain).
    """

    TEST = (
        ("scikit-image", "skimage", "data/camera.png"),
        ("scikit-image", "skimage", "data/coins.png"),
        ("scikit-image", "skimage", "data/brick.png"),
        ("scikit-image", "skimage", "data/grass.png"),
        ("scikit-image", "skimage", "data/gravel.png"),
        ("scikit-image", "skimage", "data/ihc.png"),
        ("scikit-image", "skimage", "data/hubble_deep_field.jpg"),
        ("matplotlib", "matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
    )

    def test(self) -> list[ImageRef]:
        return [_packaged(*photo) for photo in self.TEST]

    def test_fingerprint(self) -> str:
        return fingerprint(self.test())


def _packaged(distribution: str, package: str, file: str) -> ImageRef:
    # find_spec of a top-level name does not import it: importing scikit-image takes a second.
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ImageError(f"data=bundled reads {file} of {distribution}, which is not installed")
    path = Path(spec.submodule_search_locations[0], file)
    if not path.is_file():
        raise ImageError(f"data=bundled reads {path}, which this {distribution} lacks; reinstall it or use data=folder")
    return ImageRef(path, path.name)


@signed_as("folder")
@declares(Distinct(("train", "val"), "it would count twice; data.train_weights says how often a folder is drawn from"))
class Folder:
    """Your own images: folders, searched recursively, single files, or patterns of file names, "DIR/*.gif".

    train: training folders.
    val: validation folders; no file may also be a training file.
    train_weights: share of the samples per training folder, relative to each other; None: every image alike.
    Where several folders are given, an image's name starts with the folder's position in the list, so that neither
    names nor fingerprint depend on where the folders lie.
    """

    def __init__(
        self,
        *,
        train: Annotated[list[str], Unsigned()],
        val: Annotated[list[str], Unsigned()],
        train_weights: list[PositiveFloat] | None,
    ) -> None:
        for option, folders in (("train", train), ("val", val)):
            if not folders:
                raise ValueError(f"data.{option} is empty: name at least one folder of images")
        if train_weights is not None and len(train_weights) != len(train):
            raise ValueError(
                f"data.train_weights has {len(train_weights)} entries for the {len(train)} entries of data.train"
            )
        self._places = {"train": list(train), "val": list(val)}
        self._weights = None if train_weights is None else list(train_weights)

    @cached_property
    def _found(self) -> dict[str, list[Listed]]:
        """{set: one list of images per folder}, searched once and not before it is needed."""
        found = {option: _find_all(places) for option, places in self._places.items()}
        train, val = ({image.path for images in found[option] for image in images} for option in ("train", "val"))
        if both := sorted(train & val):
            raise ImageError(f"data.train and data.val share {len(both)} images, {both[0]} among them")
        return found

    def _all(self, option: str) -> list[ImageRef]:
        return [image for images in self._found[option] for image in images]

    def train(self) -> list[Group]:
        if self._weights is None:
            return [Group(self._all("train"))]
        return [Group(images, weight) for images, weight in zip(self._found["train"], self._weights, strict=True)]

    def val(self) -> list[ImageRef]:
        return self._all("val")

    def notes(self) -> list[str]:
        """What was passed over in the folders, a line for each sort of thing."""
        return [note for folders in self._found.values() for images in folders for note in images.notes]

    def fingerprint(self) -> str:
        return fingerprint(self._all("train"), self._all("val"))


def _find_all(places: list[str]) -> list[Listed]:
    # As wide as the last one's number, so that names are in the order of the folders, as those of one folder would be.
    width = len(str(len(places) - 1))
    return [list_images(place, f"{i:0{width}}/" if len(places) > 1 else "") for i, place in enumerate(places)]


@dataclass(frozen=True)
class SyntheticImage:
    """Coloured noise whose amplitude falls as 1/f, as that of photographs does; a function of its fields alone."""

    name: str
    seed: tuple[int, int, int]
    height: int
    width: int

    def __str__(self) -> str:
        return f"synthetic image {self.name}"

    def load(self) -> "NDArray[np.uint8]":
        """RGB (H, W, 3), 8 bits: a common luminance and a quarter as much independent noise per channel."""
        import numpy as np

        rng = np.random.default_rng(self.seed)
        size = (self.height, self.width)
        radius = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1])[None, :])
        radius[0, 0] = np.inf  # no mean
        noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((4, *size))) / radius, s=size)
        colour = noise[0] + 0.25 * noise[1:]
        scaled = 128 + 50 * colour / max(colour.std(), 1e-12)
        return np.ascontiguousarray(scaled.clip(0, 255).round().astype(np.uint8).transpose(1, 2, 0))


@signed_as("synthetic")
class Synthetic:
    """Images made of seeded noise, for tests and dry runs; a codec trained on them is good for nothing.

    train_images, val_images: how many. height, width: their size [pixels]. image_seed: another seed, other images.
    """

    def __init__(
        self,
        *,
        train_images: PositiveInt,
        val_images: PositiveInt,
        height: PositiveInt,
        width: PositiveInt,
        image_seed: Seed,
    ) -> None:
        self._counts = (train_images, val_images)
        self._size = (height, width)
        self._seed = image_seed

    def _images(self, part: int) -> list[SyntheticImage]:
        return [SyntheticImage(f"{i:04d}", (self._seed, part, i), *self._size) for i in range(self._counts[part])]

    def train(self) -> list[Group]:
        return [Group(self._images(0))]

    def val(self) -> list[SyntheticImage]:
        return self._images(1)

    def fingerprint(self) -> str:
        """Digest of the options: the images follow from them. Change the word if `SyntheticImage.load` changes."""
        return hashlib.sha256(repr(("one-over-f", self._counts, self._size, self._seed)).encode()).hexdigest()
