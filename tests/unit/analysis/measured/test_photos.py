"""Which photos: those of a folder, and those that a run was evaluated on, whole or cut, unchanged or refused."""

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from coarse_codec import write_photos
from PIL import Image

from analysis.errors import AnalysisError
from analysis.measured.photos import Photo, photos_of_folder, photos_of_run
from lic_exp.data.images import ImageRef
from lic_exp.image_identity import identity


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def evaluated(run: Path, photos: Sequence[Photo], data: Path | None, *, pixels: bool = True, rates: int = 1) -> Path:
    """Give a run folder the files of an evaluation on these photos."""
    from analysis.measured.photos import seen

    pictured = seen(photos)
    (run / "eval").mkdir()
    about = {"data": data and str(data), "mean": {}, "images": identity("of a test", pictured)}
    (run / "eval" / "evaluation.json").write_text(json.dumps(about))
    with open(run / "eval" / "images.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "height", "width", *(["pixels"] if pixels else []), "bpp"])
        for _ in range(rates):
            for one in pictured:
                writer.writerow([one.name, one.height, one.width, *([one.pixels] if pixels else []), 0.5])
    return run


def of_folder(folder: Path, *cut: int) -> list[Photo]:
    return [Photo(ImageRef(path, path.name), path.name, cut or None) for path in sorted(folder.glob("*.png"))]


def test_a_folders_images_are_told_by_their_pixels_whatever_they_are_called(tmp_path: Path) -> None:
    first = write_photos(tmp_path / "mine", (20, 24), (30, 31))
    second = write_photos(tmp_path / "theirs", (20, 24), (30, 31))
    (second / "0.png").rename(second / "z.png")
    Image.open(second / "1.png").save(second / "1.bmp")
    (second / "1.png").unlink()

    one, other = photos_of_folder(first).identity(), photos_of_folder(second).identity()

    assert one["fingerprint"] == other["fingerprint"]
    assert (one["name"], other["name"]) == ("mine", "theirs")
    assert one["sizes"] == {"24 x 20": 1, "31 x 30": 1}
    assert photos_of_folder(first, 1).identity()["number"] == 1
    assert photos_of_folder(first, 1).identity()["fingerprint"] != one["fingerprint"]


def test_a_file_that_changes_is_looked_at_again(tmp_path: Path) -> None:
    folder = write_photos(tmp_path / "mine", (20, 24))
    before = photos_of_folder(folder).identity()
    write_photos(folder, (20, 24), seed=1)

    assert photos_of_folder(folder).identity()["fingerprint"] != before["fingerprint"]


@pytest.mark.parametrize("cut", [(), (16, 18)])
@pytest.mark.parametrize("rates", [1, 3])
@pytest.mark.parametrize("pixels", [True, False])
def test_a_runs_photos_are_those_of_its_evaluation(
    make_run: Callable[..., Path], tmp_path: Path, cut: tuple[int, ...], rates: int, pixels: bool
) -> None:
    folder = write_photos(tmp_path / "mine", (20, 24), (30, 31), (18, 18))
    shown = of_folder(folder, *cut)[:2]  # evaluation.limit=2
    run = evaluated(make_run("abcd"), shown, folder, pixels=pixels, rates=rates)

    found = photos_of_run(run)

    assert [one.name for one in found.pictured] == ["0.png", "1.png"]
    for photo, before in zip(found.photos, shown, strict=True):
        assert (photo.load() == before.load()).all()
    assert found.photos[0].load().shape == ((*cut, 3) if cut else (20, 24, 3))
    assert found.name == "of a test"


def test_the_centre_is_what_validation_cuts(tmp_path: Path) -> None:
    folder = write_photos(tmp_path / "mine", (21, 30))
    whole = np.asarray(Image.open(folder / "0.png"))

    (photo,) = of_folder(folder, 16, 16)

    assert (photo.load() == whole[2:18, 7:23]).all()


def test_a_run_without_a_folder_has_those_of_its_data(make_run: Callable[..., Path]) -> None:
    from lic_exp.data.sources import Bundled

    images = Bundled().val()
    run = evaluated(make_run("abcd"), [Photo(image, image.name) for image in images], None)

    assert [str(photo.source) for photo in photos_of_run(run).photos] == [str(image) for image in images]


@pytest.mark.parametrize("pixels", [True, False])
def test_another_photo_that_now_comes_first_is_not_taken_for_the_first(
    make_run: Callable[..., Path], tmp_path: Path, pixels: bool
) -> None:
    folder = write_photos(tmp_path / "mine", (20, 24), (30, 31))
    run = evaluated(make_run("abcd"), of_folder(folder), folder, pixels=pixels)
    Image.open(folder / "0.png").rotate(180).save(folder / "00.png")
    (folder / "0.png").rename(folder / "2.png")

    with pytest.raises(
        AnalysisError, match="it has changed" if pixels else r"on 0\.png, and in its place is now .*00\.png"
    ):
        photos_of_run(run)


@pytest.mark.parametrize("change", ["pixels", "gone", "folder gone", "smaller"])
def test_photos_that_are_no_longer_those_are_refused(
    make_run: Callable[..., Path], tmp_path: Path, change: str
) -> None:
    folder = write_photos(tmp_path / "mine", (20, 24), (30, 31))
    run = evaluated(make_run("abcd"), of_folder(folder, *((18, 18) if change == "smaller" else ())), folder)
    if change == "pixels":
        write_photos(folder, (20, 24), (30, 31), seed=7)
    elif change == "gone":
        (folder / "1.png").unlink()
    elif change == "smaller":
        write_photos(folder, (20, 24), (10, 31))
    else:
        folder.rename(tmp_path / "elsewhere")
    messages = {
        "pixels": r"0\.png is not what .*abcd was evaluated on as 0\.png: it has changed",
        "gone": "was evaluated on 2 images, and 1 are there now",
        "folder gone": "cannot be had: .*mine does not exist",
        "smaller": r"1\.png is smaller than 18 x 18 pixels",
    }

    with pytest.raises(AnalysisError, match=messages[change]):
        photos_of_run(run)


@pytest.mark.parametrize("damage", ["none", "json", "table"])
def test_a_run_without_a_whole_evaluation_is_refused(
    make_run: Callable[..., Path], tmp_path: Path, damage: str
) -> None:
    run = make_run("abcd")
    if damage != "none":
        folder = write_photos(tmp_path / "mine", (20, 24))
        evaluated(run, of_folder(folder), folder)
        file = run / "eval" / ("evaluation.json" if damage == "json" else "images.csv")
        file.write_text("{" if damage == "json" else "image,height\n")
        if damage == "table":
            file.write_text("nothing\n")

    with pytest.raises(
        AnalysisError, match="was not evaluated" if damage == "none" else r"evaluation\.json|images\.csv"
    ):
        photos_of_run(run)


def test_a_folder_without_images_and_a_file_that_is_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(AnalysisError, match=r"--data: .*holds no image"):
        photos_of_folder(tmp_path / "empty")
    (tmp_path / "empty" / "a.png").write_bytes(b"no picture")
    with pytest.raises(AnalysisError, match=r"a\.png is not an image"):
        photos_of_folder(tmp_path / "empty")
