"""Pictures in a report: each stands under the numbers of its own image."""

from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from made_sweeps import evaluate
from PIL import Image
from run_folders import write_run

from analysis.arms import Arm
from analysis.named_runs import NamedRun
from analysis.report.parts import Part
from analysis.report.photos import CodedPhoto, coded_photos, pictures
from lic_exp.image_identity import Pictured
from lic_exp.naming import picture_stem

POINTS = {"bpp": [0.5], "psnr": [30.0]}


def arm(folder: Path, images: list[str], pictures: list[str], points: dict = POINTS) -> Arm:
    """Of one run with rows of these images, and these pictures."""
    run = write_run(folder, seed=0)
    place = evaluate(run, points, images=[Pictured(name, 64, 96, name) for name in images])
    for number, name in enumerate(pictures):
        Image.new("RGB", (96, 64), (number, 0, 0)).save(place / name)
    return Arm(folder.name, (NamedRun(run, label=folder.name),))


def shown(found: Arm) -> dict[str, str]:
    return {one.image: one.picture.name for one in coded_photos(found)}


@pytest.mark.parametrize(
    ("images", "pictures", "right"),
    [
        (["a.png", "c.png"], ["000_a.png", "002_c.png"], {"a.png": "000_a.png", "c.png": "002_c.png"}),
        (["b.png", "c.png"], ["001_b.png", "002_c.png"], {"b.png": "001_b.png", "c.png": "002_c.png"}),
        (["c.png"], ["000_a.png", "002_c.png"], {"c.png": "002_c.png"}),
        (["p/x.png", "q/x.png"], ["001_x.png", "002_x.png"], {"p/x.png": "001_x.png", "q/x.png": "002_x.png"}),
        (["a.png", "c.png"], ["000_a.png", "001_c.png", "002_c.png"], {"a.png": "000_a.png"}),
        (["a b.png", ".png"], ["001_a_b.png", "003_png.png"], {"a b.png": "001_a_b.png", ".png": "003_png.png"}),
        (["a.png", "a_q1.png"], ["000_a.png", "001_a_q1.png"], {"a.png": "000_a.png", "a_q1.png": "001_a_q1.png"}),
    ],
)
def test_a_picture_is_found_by_its_images_name(tmp_path, images, pictures, right):
    assert shown(arm(tmp_path / "one", images, pictures)) == right
    assert all(picture_stem(image) in name for image, name in right.items())


def test_what_is_found_has_its_own_numbers(tmp_path):
    (one,) = coded_photos(arm(tmp_path / "one", ["a.png", "c.png"], ["002_c.png"]))
    assert isinstance(one, CodedPhoto)
    assert (one.image, one.bpp, one.psnr) == ("c.png", 0.5, 30.0)


def compared(folder: Path, ours: dict[str, str], theirs: dict[str, str]) -> Part:
    """Of two arms: {image: digest of its pixels} of each, the second 1 dB better."""
    arms = []
    for name, pixels in (("first", ours), ("second", theirs)):
        found = arm(folder / name, list(pixels), [f"{i:03d}_{picture_stem(one)}.png" for i, one in enumerate(pixels)])
        table = found.cells[0].folder / "eval/images.csv"
        rows = pd.read_csv(table).assign(pixels=list(pixels.values()))
        rows.assign(psnr=rows["psnr"] + (name == "second")).to_csv(table, index=False)
        arms.append(found)
    return pictures(SimpleNamespace(arms=tuple(arms)))


@pytest.mark.parametrize(
    ("ours", "theirs", "shown_images", "said"),
    [
        ({"a.png": "aa"}, {"a.png": "aa"}, {"a.png"}, []),
        ({"a.png": "aa"}, {"a.png": "bb"}, set(), ["first and second have no pictures", "other-data-set"]),
        ({"a.png": "aa", "b.png": "bb"}, {"a.png": "cc", "b.png": "bb"}, {"b.png"}, ["other-data-set"]),
        ({"a.png": "aa"}, {"z.png": "aa"}, {"a.png", "z.png"}, []),
        ({"a.png": ""}, {"a.png": "aa"}, {"a.png"}, ["unknown-images"]),
        ({"a.png": ""}, {"a.png": ""}, {"a.png"}, ["unknown-images"]),
    ],
)
def test_only_images_of_the_same_pixels_are_compared(tmp_path, ours, theirs, shown_images, said):
    part = compared(tmp_path, ours, theirs)
    assert {photo.caption.split(". ")[1].split(",")[0] for photo in part.photos} == shown_images
    assert len(part.lines) == len(said)
    assert all(line.startswith(begin) for line, begin in zip(part.lines, said, strict=True))
