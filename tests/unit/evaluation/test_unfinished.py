"""One bad image among many, names of any kind, pictures that cannot be drawn: what was coded is not lost."""

import io
import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch
from rich.console import Console
from torch import Tensor

import lic_exp
from lic_exp.data.images import ImageError
from lic_exp.data.loading import folder_images
from lic_exp.evaluation import evaluator, report
from lic_exp.evaluation.evaluator import evaluate
from lic_exp.evaluation.rates import Rate
from lic_exp.evaluation.report import Evaluation
from lic_exp.evaluation.unfinished import KEPT, DamagedImagesError, EvaluationError, ReadableImages
from lic_exp.models.base import Codec

DAMAGED = ImageError("b.png cannot be decoded: it is cut")


def photo(side: int = 64) -> Tensor:
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(side))


@pytest.fixture(scope="module")
def codec() -> Codec:
    return lic_exp.create_model("factorized_tiny", N=4, M=4)


@pytest.fixture
def run(codec: Codec, tmp_path: Path) -> Callable[..., Evaluation]:
    def evaluated(
        images: Iterable[tuple[str, Tensor | ImageError]], pictures: int = 0, progress: Console | None = None
    ) -> Evaluation:
        cpu = torch.device("cpu")
        return evaluate(codec, images, folder=tmp_path, pictures=pictures, device=cpu, progress=progress)

    return evaluated


def kept(folder: Path) -> list[str]:
    return list(pd.read_csv(folder / KEPT)["image"])


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_damaged_image_stops_no_other_and_spoils_no_mean(run, tmp_path, place, caplog):
    images = [("a.png", photo()), ("c.png", photo())]
    images.insert(place, ("b.png", DAMAGED))

    with pytest.raises(DamagedImagesError, match="1 image could not be evaluated, and no mean") as error:
        run(images, progress=(said := Console(file=io.StringIO())))
    assert re.match(r"evaluated 2 of 3 images in \S+ s; 1 could not be\n$", said.file.getvalue())

    assert "b.png cannot be decoded: it is cut" in str(error.value)
    assert str(tmp_path / KEPT) in str(error.value)
    assert kept(tmp_path) == ["a.png", "c.png"]
    assert [path.name for path in tmp_path.iterdir()] == [KEPT]
    assert "b.png is left out" in caplog.text


def test_results_of_before_stay_and_what_was_kept_goes_with_new_ones(run, tmp_path):
    run([("a.png", photo())])
    before = (tmp_path / "evaluation.json").read_bytes()
    with pytest.raises(DamagedImagesError):
        run([("a.png", photo()), ("b.png", DAMAGED)])
    assert (tmp_path / "evaluation.json").read_bytes() == before
    with pytest.raises(ImageError, match="it is cut"):
        run([("b.png", DAMAGED)])
    assert kept(tmp_path) == ["a.png"]
    run([("a.png", photo()), ("c.png", photo())])
    assert not (tmp_path / KEPT).exists()
    assert list(pd.read_csv(tmp_path / "images.csv")["image"]) == ["a.png", "c.png"]


def test_one_that_cannot_be_coded_stops_no_other(run, tmp_path):
    grey = torch.zeros(1, 1, 8, 8)
    with pytest.raises(EvaluationError, match=r"1 image could not.* image 'grey', shape \(1, 1, 8, 8\)"):
        run([("a.png", photo()), ("grey", grey), ("c.png", photo())])
    assert kept(tmp_path) == ["a.png", "c.png"]
    seen = []
    with pytest.raises(EvaluationError, match="3 images could not"):
        run((seen.append(name), (name, grey))[1] for name in "abcdef")
    assert seen == ["a", "b", "c"]


def test_what_was_coded_before_a_stop_is_kept(run, tmp_path):
    def stopped() -> Iterator[tuple[str, Tensor]]:
        yield "a.png", photo()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(stopped())
    assert kept(tmp_path) == ["a.png"]


def test_images_of_a_folder_are_read_one_by_one(tmp_path, photos):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.png", "c.png"):
        (folder / name).write_bytes((photos / "val" / "c.png").read_bytes())
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes()[:200])
    read = dict(ReadableImages(folder_images(folder)))
    assert {name: isinstance(x, ImageError) for name, x in read.items()} == {"a.png": 0, "b.png": 1, "c.png": 0}


NAMES = ["caf\udce9.png", "caf\\xe9.png", "a" * 250 + ".png", "two\nlines.png", "sub/a b.png", "SUB/A B.png", "$x_.png"]


def test_names_of_any_kind_are_written_printable_and_stay_apart(run, tmp_path):
    """The first two would be one name, and the fifth and sixth one file on some systems."""
    run([(name, photo()) for name in NAMES], pictures=len(NAMES))

    shown = list(pd.read_csv(tmp_path / "images.csv")["image"])
    assert len({name.casefold() for name in shown}) == len(NAMES)
    assert all(name.isprintable() for name in shown)
    assert shown[:2] == ["caf\\xe9.png", "caf\\xe9.png (2)"]
    assert [row["image"] for row in json.loads((tmp_path / "evaluation.json").read_text())["rows"]] == shown
    pictures = sorted(path.name for path in tmp_path.glob("*.png"))
    assert len(pictures) == len(NAMES)
    assert max(len(name.encode()) for name in pictures) < 120


@pytest.mark.parametrize("error", [OSError(36, "File name too long"), TypeError("no such font"), MemoryError()])
def test_a_picture_that_cannot_be_drawn_is_a_warning(run, tmp_path, error, monkeypatch, caplog):
    def refuses(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(evaluator, "write_picture", refuses)
    with caplog.at_level(logging.WARNING):
        assert len(run([("a.png", photo())], pictures=1).rows) == 1
    assert f"no picture 000_a.png: {type(error).__name__}" in caplog.text
    assert (tmp_path / "evaluation.json").is_file()


def test_neither_does_a_curve_that_cannot_be_drawn_lose_its_numbers(tmp_path, monkeypatch, caplog):
    def refuses(*arguments: object) -> None:
        raise ValueError("no such font")

    monkeypatch.setattr(report, "write_curve", refuses)
    codec = lic_exp.create_model("dhic_tiny")
    rates = [Rate(0, 0.001), Rate(63, 0.1)]
    evaluate(codec, [("a", photo())], folder=tmp_path, pictures=0, device=torch.device("cpu"), rates=rates)
    assert "no rd_curve.png: ValueError: no such font" in caplog.text
    assert len(json.loads((tmp_path / "evaluation.json").read_text())["points"]) == 2
