"""The options of `data=...`."""

import importlib.util
import inspect
import subprocess
import sys
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from lic_exp.data import sources
from lic_exp.data.images import ImageError
from lic_exp.data.loading import TrainLoader
from lic_exp.data.sources import Bundled, Folder, ImageSource, Synthetic

CONF = Path(__file__).parents[3] / "conf" / "data"
VALIDATION_KEYS = {"val_crop_size", "val_limit"}


def names(source: ImageSource, part: str) -> list[str]:
    images = [image for group in source.train() for image in group.images] if part == "train" else source.val()
    return [image.name for image in images]


def fill(folder: Path, *files: str) -> str:
    for i, name in enumerate(files):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (i, i, i)).save(folder / name)
    return str(folder)


@pytest.mark.parametrize("option", ["bundled", "folder", "synthetic"])
def test_every_option_states_its_own_and_the_loader_options_and_no_others(option: str) -> None:
    stated = yaml.safe_load((CONF / f"{option}.yaml").read_text())
    source = getattr(sources, stated.pop("_target_").removeprefix("lic_exp.data.sources."))
    own = set() if source.__init__ is object.__init__ else set(inspect.signature(source).parameters)
    loader = set(inspect.signature(TrainLoader).parameters) - {"source", "seed", "device"}
    assert set(stated) == own | loader | VALIDATION_KEYS | {"preflight"}


def test_import_is_light() -> None:
    """The check whether a run already exists imports sources and fingerprints them."""
    script = (
        "import sys; from lic_exp.data.sources import Bundled, Synthetic; Bundled().fingerprint(); Synthetic("
        "train_images=1, val_images=1, height=9, width=9, image_seed=0).fingerprint()\n"
        "print([m for m in ('torch', 'numpy', 'PIL', 'skimage', 'sklearn') if m in sys.modules])"
    )
    root = Path(sources.__file__).parents[2]
    assert subprocess.check_output([sys.executable, "-c", script], text=True, cwd=root) == "[]\n"


def test_bundled_photos_decode_and_no_scene_is_on_both_sides() -> None:
    bundled = Bundled()
    assert all(image.load().shape[2] == 3 for group in bundled.train() for image in group.images)
    assert [image.load().shape for image in bundled.val()] == [(512, 512, 3), (400, 600, 3)]
    scenes = [{Path(name).stem.split("_")[0] for name in names(bundled, part)} for part in ("train", "val")]
    assert not scenes[0] & scenes[1]
    assert "motorcycle" in scenes[0]
    assert len(names(bundled, "train") + names(bundled, "val")) == 8


def test_bundled_names_the_package_that_lacks_a_photo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spec = importlib.util.find_spec("skimage")
    assert spec is not None
    spec = copy(spec)  # once scikit-image is imported, the spec is its own
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(ImageError, match=r"astronaut\.png, which this scikit-image lacks"):
        Bundled().val()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImageError, match="scikit-image, which is not installed"):
        Bundled().fingerprint()


def test_folder_without_weights_is_one_group(tmp_path: Path) -> None:
    a, b = fill(tmp_path / "a", "x.png", "sub/x.png"), fill(tmp_path / "b", "x.png")
    folder = Folder(train=[a, b], val=[fill(tmp_path / "v", "x.png")], train_weights=None)
    assert [len(group.images) for group in folder.train()] == [3]
    assert names(folder, "train") == ["0/sub/x.png", "0/x.png", "1/x.png"]
    assert names(folder, "val") == ["x.png"]


def test_folder_with_weights_is_one_group_per_folder(tmp_path: Path) -> None:
    a, b = fill(tmp_path / "a", "x.png", "y.png"), fill(tmp_path / "b", "x.png")
    groups = Folder(train=[a, b], val=[fill(tmp_path / "v", "x.png")], train_weights=[1.0, 3.0]).train()
    assert [(len(group.images), group.weight) for group in groups] == [(2, 1.0), (1, 3.0)]


@pytest.mark.parametrize("count", [2, 10, 11, 101])
def test_folders_that_sign_as_one_with_such_subfolders_are_drawn_from_as_it_is(tmp_path: Path, count: int) -> None:
    width = len(str(count - 1))
    places = [fill(tmp_path / "all" / f"{i:0{width}}", "x.png") for i in range(count)]
    val = [fill(tmp_path / "v", "x.png")]
    several = Folder(train=places, val=val, train_weights=None)
    one = Folder(train=[str(tmp_path / "all")], val=val, train_weights=None)
    assert several.fingerprint() == one.fingerprint()
    assert names(several, "train") == names(one, "train")


def test_folder_fingerprint_ignores_location_and_sees_the_split(tmp_path: Path) -> None:
    def made(root: str, train: str, val: str) -> str:
        places = [fill(tmp_path / root / name, "x.png") for name in (train, val)]
        return Folder(train=places[:1], val=places[1:], train_weights=None).fingerprint()

    assert made("here", "t", "v") == made("there", "training", "kodak")
    fill(tmp_path / "here" / "v", "new.png")
    assert made("here", "t", "v") != made("there", "training", "kodak")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": []}, r"data\.train is empty"),
        ({"val": []}, r"data\.val is empty"),
        ({"train_weights": [1.0, 2.0]}, r"data\.train_weights has 2 entries for the 1 entries of data\.train"),
    ],
)
def test_folder_refuses_wrong_lists(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Folder(**({"train": ["t"], "val": ["v"], "train_weights": None} | options))


def test_folder_refuses_validation_files_among_the_training_files(tmp_path: Path) -> None:
    root = fill(tmp_path, "x.png", "val/y.png")
    with pytest.raises(ImageError, match=r"share 1 images, .*val/y\.png"):
        Folder(train=[root], val=[f"{root}/val"], train_weights=None).fingerprint()


def test_folder_reports_a_missing_place_by_name(tmp_path: Path) -> None:
    root = fill(tmp_path / "train", "x.png")
    with pytest.raises(ImageError, match="kodac does not exist"):
        Folder(train=[root], val=[str(tmp_path / "kodac")], train_weights=None).val()


def synthetic(**changes: int) -> Synthetic:
    options = {"train_images": 3, "val_images": 2, "height": 24, "width": 40, "image_seed": 5}
    return Synthetic(**(options | changes))


def test_synthetic_images_are_deterministic_and_distinct() -> None:
    images = [image.load() for group in synthetic().train() for image in group.images]
    images += [image.load() for image in synthetic().val()]
    again = [image.load() for image in synthetic().train()[0].images]
    assert all(np.array_equal(one, other) for one, other in zip(images, again, strict=False))
    assert {(image.shape, image.dtype.name) for image in images} == {((24, 40, 3), "uint8")}
    assert len({image.tobytes() for image in images}) == 5
    assert min(image.std() for image in images) > 20


def test_synthetic_fingerprint_follows_the_options() -> None:
    fingerprints = [
        synthetic().fingerprint(),
        synthetic(image_seed=6).fingerprint(),
        synthetic(height=25).fingerprint(),
    ]
    assert len(set(fingerprints)) == 3
    assert synthetic().fingerprint() == fingerprints[0]


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 1)])
def test_synthetic_images_of_any_size(size: tuple[int, int]) -> None:
    image = synthetic(height=size[0], width=size[1]).val()[0].load()
    assert image.shape == (*size, 3)
