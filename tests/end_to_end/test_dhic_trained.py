"""`make demo`, shortened: one training of the small DHIC gives a rate-distortion curve, and every scale helps."""

import json

import pytest
import torch
from commands import called

from lic_exp.data.loading import validation_images
from lic_exp.data.sources import Bundled
from lic_exp.metrics import psnr
from lic_exp.runs.evaluate import load_codec
from lic_exp.runs.run import Run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    quick = ("trainer.threads=1", "tracker=none", "evaluation.pictures=1", "data.val_crop_size=256")
    done = called("launch.py", "experiment=demo", "trainer.max_steps=200", *quick, folder=folder)
    assert done.returncode == 0, done.stderr
    (found,) = (folder / "runs").glob("*/status.json")
    return Run(found.parent)


def curve(folder):
    results = json.loads((folder / "rd_point.json").read_text())["results"]
    return results["bpp"], results["psnr"]


def test_one_training_gives_a_curve(demo):
    bpp, quality = curve(demo.files.eval)
    assert len(bpp) == 3
    assert bpp == sorted(bpp)
    assert quality == sorted(quality)
    assert demo.evaluation["exact"].all()


def test_more_rates_of_the_same_run_lie_on_it(demo, photos):
    folder = demo.folder.parent.parent
    arguments = ("eval", demo.signature, "--data", str(photos / "val"), "--qualities", "0,16,32,48,63")
    done = called("lic_exp", *arguments, folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = demo.files.eval.rglob("val*/**/rd_point.json")
    bpp, _ = curve(found.parent)
    assert len(bpp) == 5
    assert bpp == sorted(bpp)


@torch.no_grad()
def test_every_decoded_scale_helps(demo):
    codec = load_codec(demo, torch.device("cpu"))
    images = [codec.pad(x) for _, x in validation_images(Bundled(), crop_size=256, limit=None)]
    for quality in (0.0, 31.5, 63.0):
        levels = [
            sum(psnr(codec.partial(x, quality, scales=scales).clamp(0, 1), x).item() for x in images)
            for scales in range(5)
        ]
        assert levels == sorted(set(levels)), f"quality {quality}: {levels}"
