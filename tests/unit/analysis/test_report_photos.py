"""Pictures in a report: each stands under the numbers of its own image."""

from pathlib import Path

import pytest
from made_sweeps import evaluate
from PIL import Image
from run_folders import write_run

from analysis.arms import Arm
from analysis.named_runs import NamedRun
from analysis.report.photos import CodedPhoto, coded_photos
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
