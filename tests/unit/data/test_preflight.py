"""The look at every image, and what is done with what was found."""

import json
import logging
import os
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from lic_exp.config.compose import compose
from lic_exp.config.errors import ConfigError
from lic_exp.config.overrides import parse
from lic_exp.config.validation import validate
from lic_exp.data import preflight as looking
from lic_exp.data.images import ImageRef, list_images
from lic_exp.data.preflight import Without, look, survey
from lic_exp.data.sources import Bundled, Folder, Synthetic
from lic_exp.runs.preflight import checked_source
from lic_exp.tracking.run_folder import RunFolder

PHOTOS = [Image.open(image.path).convert("RGB") for image in Bundled().train()[0].images[:4]]


@pytest.fixture
def folders(tmp_path):
    """Folders train (photos a, b), val (c) and evaluation (d), each made smaller for speed."""
    for place, photo in zip(("train/a", "train/b", "val/c", "evaluation/d"), PHOTOS, strict=True):
        put(tmp_path / f"{place}.png", small(photo))
    return tmp_path


def small(photo, side=128):
    return photo.resize((side, side * photo.height // photo.width), Image.Resampling.LANCZOS)


def put(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)


def source(folders):
    return Folder(train=[str(folders / "train")], val=[str(folders / "val")], train_weights=None)


def report(folders, *, crop_size=32, val_crop_size=1, cache=None):
    evaluation = list_images(folders / "evaluation")
    return survey(source(folders), evaluation, cache=cache).report(crop_size=crop_size, val_crop_size=val_crop_size)


def noise(mode, side=64):
    """An image of any mode with different values everywhere."""
    values = np.random.default_rng(0).integers(0, 256, (side, side, 4), dtype=np.uint8)
    if mode == "I;16":
        return Image.fromarray(values[..., 0].astype(np.uint16) * 257)
    if mode == "P":
        return Image.fromarray(values[..., :3]).convert("P", palette=Image.Palette.ADAPTIVE)
    return Image.fromarray(values[..., :3]).convert(mode)


def test_good_folders_give_no_finding(folders):
    found = report(folders)
    assert found.messages() == []
    assert vars(found) == {
        "bad_train": {},
        "bad_val": {},
        "bad_evaluation": {},
        "duplicates": {},
        "evaluation_duplicates": {},
    }


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        ("I;16", "png"),
        ("I;16", "tif"),
        ("CMYK", "jpg"),
        ("CMYK", "tif"),
        ("P", "png"),
        ("RGBA", "png"),
        ("LA", "png"),
        ("L", "png"),
        ("L", "jpg"),
        ("1", "png"),
        ("YCbCr", "jpg"),
    ],
)
def test_every_kind_of_pixels_is_accepted(folders, mode, suffix):
    path = folders / "train" / f"kind.{suffix}"
    put(path, noise(mode))
    assert report(folders).messages() == []
    pixels = ImageRef(path, "kind").load()
    assert (pixels.shape, pixels.dtype) == ((64, 64, 3), np.uint8)
    assert pixels.std() > 10


def truncated_jpeg(path):
    put(path, PHOTOS[0], quality=90)
    path.write_bytes(path.read_bytes()[:-2000])


BAD = {
    "text.png": (lambda path: path.write_text("I am a text."), "is not an image, whatever its suffix says"),
    "empty.png": (lambda path: path.write_bytes(b""), "is not an image, whatever its suffix says"),
    "cut.jpg": (truncated_jpeg, "cannot be decoded: image file is truncated"),
    "float.tif": (lambda path: put(path, Image.new("F", (64, 64), 0.5)), "pixels are floating-point numbers"),
    "small.png": (lambda path: put(path, PHOTOS[0].resize((40, 31))), "is 40 x 31 pixels, smaller than the 32 needed"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("side", ["train", "val", "evaluation"])
def test_every_bad_file_is_found_where_it_is(folders, side, name):
    make, reason = BAD[name]
    make(folders / side / name)
    found = report(folders, val_crop_size=32)
    if (side, name) == ("evaluation", "small.png"):
        assert found.messages() == [], "evaluation takes images whole"
        return
    assert list(getattr(found, f"bad_{side}")) == [name]
    (message,) = found.messages()
    assert str(folders / side / name) in message
    assert reason in message


# The same photo on both sides


def variants(photo):
    yield "exact", photo, "png", {}
    yield "perceptual", photo, "jpg", {"quality": 80}
    yield "perceptual", photo, "jpg", {"quality": 30}
    yield "perceptual", photo.resize((photo.width // 2, photo.height // 2), Image.Resampling.BICUBIC), "png", {}
    yield "perceptual", photo.resize((photo.width * 3 // 4, photo.height * 3 // 4)), "jpg", {"quality": 80}
    yield "exact", photo.convert("RGBA"), "png", {}
    yield "perceptual", photo.convert("L"), "png", {}


@pytest.mark.parametrize("side", ["val", "evaluation"])
@pytest.mark.parametrize("variant", range(7))
def test_a_copy_of_an_evaluation_photo_is_found(folders, side, variant):
    name = {"val": "c.png", "evaluation": "d.png"}[side]
    photo = Image.open(folders / side / name)
    kind, copy, suffix, options = list(variants(photo))[variant]
    put(folders / "train" / f"copy.{suffix}", copy, **options)
    found = report(folders)
    twice = {f"copy.{suffix}": (name, kind)}
    none: dict[str, tuple[str, str]] = {}
    assert (found.duplicates, found.evaluation_duplicates) == {"val": (twice, none), "evaluation": (none, twice)}[side]
    assert found.messages() == [
        f"training image copy.{suffix} is evaluation image {name} ({kind} duplicate), whose result would be too good"
    ]


def test_different_photos_and_the_two_sides_of_a_stereo_pair_are_not_copies():
    """The pair is one scene from two places; all eight bundled photos against each other."""
    photos = [*Bundled().train()[0].images, *Bundled().val()]
    for index, photo in enumerate(photos):
        others = [(other, seen) for other, seen in look(photos[:index] + photos[index + 1 :], None)]
        assert looking._duplicates(list(look([photo], None)), others) == {}


@pytest.mark.parametrize("box", [(0, 0, 0.5, 0.5), (0.5, 0.5, 1, 1), (0.1, 0.1, 0.9, 0.9), (0, 0, 0.85, 1)])
def test_crops_of_one_photo_are_not_reported(folders, box):
    """Other crops of a scene make no result too good, and a data set of crops would be all findings."""
    photo = PHOTOS[2]
    sides = (photo.width, photo.height) * 2
    put(
        folders / "train" / "crop.png",
        photo.crop(tuple(int(part * side) for part, side in zip(box, sides, strict=True))),
    )
    assert report(folders).duplicates == {}


def test_synthetic_images_are_no_copies_of_each_other():
    made = Synthetic(train_images=150, val_images=50, height=64, width=64, image_seed=0)
    assert survey(made, [], cache=None).report(crop_size=32, val_crop_size=32).messages() == []


def test_flat_images_are_not_compared(folders):
    """A thumbnail of a clear sky correlates with any other; only equal pixels count there."""
    for side, level in (("train", 200), ("val", 201)):
        put(folders / side / "sky.png", Image.new("RGB", (64, 64), (level, level, level)))
    assert report(folders).duplicates == {}
    put(folders / "train" / "same_sky.png", Image.new("RGB", (64, 64), (201, 201, 201)))
    assert report(folders).duplicates == {"same_sky.png": ("sky.png", "exact")}


# The cache


@pytest.fixture
def decoded(monkeypatch):
    """Names of the images that were decoded since the test began."""
    seen, load = [], ImageRef.load
    monkeypatch.setattr(ImageRef, "load", lambda image: seen.append(image.name) or load(image))
    return seen


def test_a_second_look_decodes_nothing_and_finds_the_same(folders, decoded):
    cache = folders / "runs" / ".preflight.sqlite"
    (folders / "train" / "text.png").write_text("I am a text.")
    put(folders / "train" / "copy.jpg", Image.open(folders / "val" / "c.png"), quality=80)
    first = report(folders, cache=cache)
    assert sorted(decoded) == ["a.png", "b.png", "c.png", "copy.jpg", "d.png", "text.png"]
    assert first.bad_train
    assert first.duplicates
    decoded.clear()
    assert report(folders, cache=cache) == first
    assert decoded == []


def test_a_changed_file_is_looked_at_again(folders, decoded):
    cache = folders / ".preflight.sqlite"
    bad = folders / "train" / "text.png"
    bad.write_text("I am a text.")
    assert report(folders, cache=cache).bad_train
    decoded.clear()
    put(bad, small(PHOTOS[1]).transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    assert report(folders, cache=cache).messages() == []
    assert decoded == ["text.png"]


@pytest.mark.parametrize("content", ["", "{", '{"a": {"error": null}}', "SQLite format 3\0 and then nothing", "\ufffd"])
def test_a_damaged_cache_is_made_anew(folders, decoded, content):
    cache = folders / ".preflight.sqlite"
    cache.write_text(content)
    assert report(folders, cache=cache).messages() == []
    report(folders, cache=cache)
    decoded.clear()
    assert report(folders, cache=cache).messages() == []
    assert decoded == []


def test_a_file_changed_behind_the_clocks_back_is_looked_at_again(folders, decoded):
    """Of the same size, and with the time of modification put back."""
    cache, path = folders / ".preflight.sqlite", folders / "train" / "a.bmp"
    for level in (80, 160):
        before = path.stat() if path.exists() else None
        put(path, Image.new("RGB", (64, 64), (level, level, level)))
        if before:
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        decoded.clear()
        report(folders, cache=cache)
        assert "a.bmp" in decoded


def test_images_that_are_no_files_are_not_cached(tmp_path):
    made = Synthetic(train_images=2, val_images=1, height=32, width=32, image_seed=0)
    survey(made, [], cache=tmp_path / "cache.json")
    assert not (tmp_path / "cache.json").exists()


# What is done about it


@pytest.fixture
def run(tmp_path):
    made = RunFolder(tmp_path / "runs" / "0123456789abcdef")
    made.create()
    return made


def checked(config, run):
    return checked_source(config, config.data, run)


def config(folders, *overrides):
    paths = [f"data.train=[{folders}/train]", f"data.val=[{folders}/val]", f"evaluation.data={folders}/evaluation"]
    return validate(compose(parse(["data=folder", "data.crop_size=64", "tracker=none", *paths, *overrides])))


def spoil(folders):
    """A training file that is a text and one that is a copy; a validation file that is cut."""
    (folders / "train" / "text.png").write_text("I am a text.")
    put(folders / "train" / "copy.jpg", Image.open(folders / "val" / "c.png"), quality=80)
    truncated_jpeg(folders / "val" / "cut.jpg")


def names_of(made):
    return [image.name for group in made.train() for image in group.images], [image.name for image in made.val()]


def test_fail_names_everything_and_says_what_to_do(folders, run):
    spoil(folders)
    with pytest.raises(ConfigError) as error:
        checked(config(folders), run)
    text, cut, copy, advice = error.value.messages
    assert text.endswith("train/text.png is not an image, whatever its suffix says")
    assert "val/cut.jpg cannot be decoded" in cut
    assert copy.startswith("training image copy.jpg is evaluation image c.png (perceptual duplicate)")
    assert advice == "Remove these images, or leave them out with data.preflight=skip"
    assert set(json.loads((run.artifacts / "preflight.json").read_text())["bad_train"]) == {"text.png"}


def test_skip_leaves_them_out_and_counts_them(folders, run, caplog):
    spoil(folders)
    with caplog.at_level(logging.WARNING):
        left = checked(config(folders, "data.preflight=skip"), run)
    assert names_of(left) == (["a.png", "b.png"], ["c.png"])
    assert "left out 2 training and 1 validation images: artifacts/preflight.json" in caplog.text
    assert left.fingerprint() == source(folders).fingerprint(), "a run's name is that of the data it was given"


def test_off_does_not_look(folders, run, decoded):
    spoil(folders)
    made = checked(config(folders, "data.preflight=off"), run)
    assert len(names_of(made)[0]) == 4
    assert decoded == []
    assert not list(run.artifacts.iterdir())


@pytest.mark.parametrize("mode", ["fail", "skip", "off"])
def test_good_images_pass_in_every_mode(folders, run, mode):
    made = checked(config(folders, f"data.preflight={mode}"), run)
    assert names_of(made) == (["a.png", "b.png"], ["c.png"])


def test_many_findings_are_cut_short_and_counted(folders, run):
    for index in range(30):
        (folders / "train" / f"text{index}.png").write_text("I am a text.")
    with pytest.raises(ConfigError) as error:
        checked(config(folders), run)
    assert len(error.value.messages) == 21
    assert error.value.messages[-1].startswith("10 more are in artifacts/preflight.json. Remove these images")
    assert len(json.loads((run.artifacts / "preflight.json").read_text())["bad_train"]) == 30


@pytest.mark.parametrize(("side", "title"), [("train", "training"), ("val", "validation")])
def test_skipping_everything_is_an_error(folders, run, side, title):
    for path in (folders / side).iterdir():
        path.write_text("I am a text.")
    with pytest.raises(ConfigError, match=f"data.preflight=skip leaves no {title} image: .* is not an image"):
        checked(config(folders, "data.preflight=skip"), run)


@pytest.mark.parametrize("mode", ["fail", "skip"])
def test_evaluation_leaves_nothing_out(folders, run, mode):
    """Nor is a validation image of the same name left out in its stead."""
    (folders / "evaluation" / "c.png").write_text("I am a text.")
    with pytest.raises(ConfigError, match=r"evaluation/c\.png is not an image"):
        checked(config(folders, f"data.preflight={mode}"), run)


@pytest.mark.parametrize("mode", ["fail", "skip"])
def test_what_is_trained_on_does_not_depend_on_what_is_evaluated(folders, run, mode):
    """Which has no part in the run's name."""
    put(folders / "train" / "copy.jpg", Image.open(folders / "evaluation" / "d.png"), quality=80)
    with pytest.raises(ConfigError, match=r"training image copy\.jpg is evaluation image d\.png"):
        checked(config(folders, f"data.preflight={mode}"), run)
    made = checked(config(folders, f"data.preflight={mode}", "evaluation.enabled=false"), run)
    assert names_of(made)[0] == ["a.png", "b.png", "copy.jpg"]


def test_images_smaller_than_the_crop_are_found(folders, run):
    with pytest.raises(ConfigError, match=r"a\.png is 128 x .* pixels, smaller than the 128 needed"):
        checked(config(folders, "data.crop_size=128"), run)


def test_validation_images_must_suffice_for_the_criterion(folders, run):
    ms_ssim = ("model=hyperprior_tiny", "criterion=ms_ssim", "data.crop_size=192")
    for name, photo in zip("ab", PHOTOS, strict=False):
        put(folders / "train" / f"{name}.png", small(photo, 512))
    with pytest.raises(ConfigError, match=r"c\.png is 128 x .* pixels, smaller than the 161 needed"):
        checked(config(folders, *ms_ssim), run)


def test_a_group_of_which_nothing_is_left_is_no_group(folders):
    weighted = Folder(
        train=[str(folders / "train" / "a.png"), str(folders / "train" / "b.png")],
        val=[str(folders / "val")],
        train_weights=[3.0, 1.0],
    )
    (left,) = Without(weighted, ["0/a.png"], []).train()
    assert ([image.name for image in left.images], left.weight) == (["1/b.png"], 1.0)


def test_a_report_is_plain_data(folders):
    assert json.loads(json.dumps(vars(report(folders))))["duplicates"] == {}
    assert replace(report(folders), bad_val={"x": "y"}).messages() == ["y"]
