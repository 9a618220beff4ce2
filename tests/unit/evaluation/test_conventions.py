"""Results files say which images they are of, by their pixels, and how rate and quality were taken."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from lic_exp.config.loading import load_part
from lic_exp.evaluation.conventions import CONVENTIONS, measured_as
from lic_exp.evaluation.evaluator import evaluate
from lic_exp.image_identity import pixels_digest
from lic_exp.runs.build import build_codec

RNG = np.random.default_rng(1)
PHOTOS = {name: RNG.integers(0, 256, (64, 96, 3), np.uint8) for name in ("a.png", "b.png")}


def as_x(photo: np.ndarray) -> Tensor:
    return torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 255


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("eval")
    codec = build_codec(load_part("model", "factorized_tiny"))
    about = {"data_set": "holiday", "weights": "ema", "optimized_for": "mse"}
    images = [(name, as_x(photo)) for name, photo in PHOTOS.items()]
    evaluate(codec, images, folder=place, pictures=0, device=torch.device("cpu"), about=about)
    return place


@pytest.mark.parametrize("file", ["evaluation.json", "rd_point.json"])
def test_both_files_say_it(folder: Path, file: str) -> None:
    found = json.loads((folder / file).read_text())
    assert found["images"]["name"] == "holiday"
    assert found["images"]["pixels"] == {name: pixels_digest(64, 96, photo.tobytes()) for name, photo in PHOTOS.items()}
    assert found["images"]["sizes"] == {"96 x 64": 2}
    assert found["optimized_for"] == "mse"
    assert found["conventions"] == {**CONVENTIONS, "weights": "ema"}


def test_the_table_has_it_by_image(folder: Path) -> None:
    table = pd.read_csv(folder / "images.csv", dtype={"pixels": str})
    expected = [pixels_digest(64, 96, photo.tobytes()) for photo in PHOTOS.values()]
    assert table["pixels"].tolist() == expected


def test_what_is_not_known_is_not_said() -> None:
    rows = pd.DataFrame({"image": ["a"], "height": [8], "width": [8], "pixels": ["00"]})
    found = measured_as(rows, {})
    assert found["images"]["name"] is None
    assert "weights" not in found["conventions"]
    assert "optimized_for" not in found
