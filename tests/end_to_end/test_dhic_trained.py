"""`make demo`, shortened: one training of the small DHIC gives a rate-distortion curve, and every scale helps."""

import json
from itertools import accumulate
from statistics import fmean

import numpy as np
import pytest
import torch
from commands import called
from skimage import data

import lic_exp
from lic_exp.data.loading import validation_images
from lic_exp.data.sources import Bundled
from lic_exp.files.parsing import parse
from lic_exp.files.pixels import Picture
from lic_exp.files.targets import psnr_of
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


PHOTOS = {"astronaut": data.astronaut()[:256, :320], "coffee": data.coffee()[:256, :320], "cat": data.chelsea()[:256]}


@pytest.fixture(scope="module")
def codec(demo):
    return load_codec(demo, torch.device("cpu"))


def bpp_of(content):
    file = parse(content)
    return 8 * file.string_bytes / (file.height * file.width)


@pytest.mark.parametrize("name", PHOTOS)
def test_files_that_are_cut_after_a_scale_are_better_with_each(codec, name):
    content = lic_exp.encode_image(PHOTOS[name], codec)
    lengths = [len(string.content) for string in parse(content).strings[0]]
    _, *ends = accumulate(lengths, initial=len(content) - sum(lengths))
    shown = [lic_exp.decode_image(content[:end], codec, form="array", partial=True) for end in ends]
    levels = [psnr_of(Picture(one), Picture(PHOTOS[name])) for one in shown]
    assert levels == sorted(set(levels)), levels
    assert np.array_equal(shown[-1], lic_exp.decode_image(content, codec, form="array"))


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_files_have_the_rate_and_the_bytes_that_were_asked_for(codec, share):
    """Of all photos a rate or a size that each of them can have."""
    low, high = ([lic_exp.encode_image(x, codec, quality=end) for x in PHOTOS.values()] for end in (0, 63))
    worst, best = max(map(bpp_of, low)), min(map(bpp_of, high))
    wanted = worst + share * (best - worst)
    met = [bpp_of(lic_exp.encode_image(x, codec, target_bpp=wanted)) for x in PHOTOS.values()]
    assert fmean(met) == pytest.approx(wanted, rel=0.02)
    most = int(max(map(len, low)) * (1 + share))
    assert all(0.97 * most < len(lic_exp.encode_image(x, codec, max_bytes=most)) <= most for x in PHOTOS.values())
