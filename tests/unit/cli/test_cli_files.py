"""`compress`, `decompress` and `info`: files, folders and patterns in, a picture that is the encoder's out."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from file_codecs import codec_of, encoders_picture, pixels
from PIL import Image
from without_torch import blocked

from lic_exp import exit_codes
from lic_exp.__main__ import main
from lic_exp.files.parsing import parse

NAME = "mean_scale_hyperprior_tiny"
SIZES = {"a.png": (30, 40), "of many.png": (64, 65), "below/a.png": (1, 1), "below/deeper/c.bmp": (50, 20)}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `photos`, the `weights.pth` of a codec, and in `coded` what it made of the photos."""
    folder = tmp_path_factory.mktemp("files")
    for name, sides in SIZES.items():
        path = folder / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels(*sides)).save(path)
    torch.save(codec_of(NAME).state_dict(), folder / "weights.pth")
    assert main(["compress", f"{folder}/photos", "-o", f"{folder}/coded", *by(folder)]) == exit_codes.DONE
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with all of `made`, which a test may change."""
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def by(folder: Path | str = ".") -> list[str]:
    return ["--weights", f"{folder}/weights.pth", "--model", NAME]


def names(folder: str) -> set[str]:
    return {str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file()}


def test_there_and_back(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert names("coded") == {"a.lic", "of many.lic", "below/a.lic", "below/deeper/c.lic"}
    assert main(["decompress", "coded", "-o", "back", "--jobs", "2", *by()]) == exit_codes.DONE
    captured = capsys.readouterr()
    assert captured.out == "back: 4 pictures\n"
    assert "decompressed 4 images in" in captured.err
    for name, sides in SIZES.items():
        with Image.open(Path("back", name).with_suffix(".png")) as back:
            shown = np.asarray(back)
        assert np.array_equal(shown, encoders_picture(codec_of(NAME), pixels(*sides)))


@pytest.mark.parametrize(
    ("inputs", "out", "expected"),
    [
        (["photos/a.png"], "one.lic", {"one.lic"}),
        (["photos/a.png"], "new", {"new/a.lic"}),
        (["photos/a*"], "new/deep", {"new/deep/a.lic", "new/deep/below/a.lic"}),
        (["photos/below", "photos/of many.png"], "new", {"new/a.lic", "new/deeper/c.lic", "new/of many.lic"}),
        (["photos/a.png", "photos/a.png"], "new", {"new/a.lic"}),
    ],
)
def test_what_is_taken_and_where_it_goes(here: Path, inputs: list[str], out: str, expected: set[str]) -> None:
    before = names(".")
    assert main(["compress", *inputs, "-o", out, *by()]) == exit_codes.DONE
    assert names(".") - before == expected
    for name in expected:
        parse(Path(name).read_bytes())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["photos", "-o", "one.lic", *by()], "one.lic is one file, but there are 4 to be made: name a folder"),
        (["photos", "-o", "weights.pth", *by()], "weights.pth is a file: name a folder, or a file that ends in .lic"),
        (["photos/a.png", "-o", "one.png", *by()], "one.png is named as a .png file, which is not made here: name a f"),
        (["photos", "-o", "new/ONE.JPG", *by()], "ONE.JPG is named as a .JPG file, which is not made here"),
        (["photos", "-o", "coded", *by()], "4 of 4 are there already and stay: .*a.lic; .*; and 1 more; --force"),
        (["photos/a.png", "coded/a.lic", "-o", "new", *by()], "would both become .*new/a.lic: give them other names"),
        (["nowhere.png", "-o", "new", *by()], "nowhere.png does not exist"),
        (["photos/*.gif", "-o", "new", *by()], r"photos holds no image \(\*.gif\)"),
        (["photos", "-o", "new", "--run", "abc", *by()], "name one codec: --run RUN, or --weights FILE with --model M"),
        (["photos", "-o", "new", "--weights", "weights.pth"], "--weights FILE needs --model MODEL"),
        (["photos", "-o", "new", "--run", "abc", "--set", "model.N=1"], "--model and --set need --weights"),
        (["photos", "-o", "new", "--run", "abc"], "there is no run abc in runs"),
        (["photos", "-o", "new", "--weights", "weights.pth", "--model", "hyperprio"], "Did you mean hyperprior"),
        (["photos", "-o", "new", *by(), "--set", "model.N=0"], "model.N=0: should be greater than or equal to 1"),
        (["photos", "-o", "new", *by(), "--set", "model.N=8"], r"--weights: \./weights.pth does not fit (?!.*partial)"),
        (["photos", "-o", "new", *by(), "--device", "tpu"], "--device=tpu: there is no such device"),
        (["photos", "-o", "new", *by(), "--device", "meta"], "--device=meta: nothing is trained or coded on meta: wri"),
    ],
)
def test_refusals(here: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str) -> None:
    """Before anything is written."""
    before = names(".")
    assert main(["compress", *words]) == exit_codes.CONFIG
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.search(told, captured.err)
    assert names(".") == before


def test_what_is_there_is_replaced_by_force_alone(here: Path) -> None:
    Path("coded/a.lic").write_bytes(b"of somebody")
    assert main(["compress", "photos/a.png", "-o", "coded", *by()]) == exit_codes.CONFIG
    assert Path("coded/a.lic").read_bytes() == b"of somebody"
    assert main(["compress", "photos/a.png", "-o", "coded", "--force", *by()]) == exit_codes.DONE
    assert parse(Path("coded/a.lic").read_bytes()).height == 30


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def text(path: Path) -> None:
    path.write_text("no picture")


@pytest.mark.parametrize(
    ("command", "place", "damage", "told"),
    [
        ("decompress", "coded/below/a.lic", cut, "a.lic: the file is cut: string 2 of 2 should reach"),
        ("decompress", "coded/below/a.lic", text, "a.lic: it is no .lic file"),
        ("compress", "photos/below/a.png", text, "a.png: is not an image"),
        ("compress", "photos/a.png", half, "a.png: cannot be decoded"),
    ],
)
def test_one_that_cannot_be_done_stops_no_other(
    here: Path, capsys: pytest.CaptureFixture[str], command: str, place: str, damage: Callable, told: str
) -> None:
    damage(Path(place))
    assert main([command, place.partition("/")[0], "-o", "new", *by()]) == exit_codes.FAILED
    err = capsys.readouterr().err
    assert told in err
    assert "3 of 4 images" in err
    assert "1 could not be" in err
    assert len(names("new")) == 3


def test_other_weights_are_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = codec_of(NAME).state_dict()
    torch.save(weights | {"g_a.0.bias": weights["g_a.0.bias"] + 0.01}, "weights.pth")
    assert main(["decompress", "coded/a.lic", "-o", "a.png", *by()]) == exit_codes.FAILED
    assert "coded by mean_scale_hyperprior 0297fc49fe7e, and this is mean_scale_hyperprior" in capsys.readouterr().err
    assert not Path("a.png").exists()


def test_pictures_that_are_too_large_are_a_choice(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decompress", "coded/a.lic", "-o", "a.png", "--max-pixels", "4000", *by()]) == exit_codes.FAILED
    said = capsys.readouterr().err
    assert "64x64: more than 4000 pixels are refused, unless a larger max_pixels (--max-pixels)" in said
    assert main(["decompress", "coded/a.lic", "-o", "a.tif", "--max-pixels", "4096", *by()]) == exit_codes.DONE


def test_a_run_codes_by_its_best_weights(small_run: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ["--run", small_run.name[:10], "--runs", str(small_run.parent)]
    assert main(["compress", "photos/a.png", "-o", "a.lic", *run]) == exit_codes.DONE
    assert capsys.readouterr().out.startswith("a.lic: 1 file, ")
    assert main(["decompress", "a.lic", "-o", "a.png", *run]) == exit_codes.DONE
    with Image.open("a.png") as picture:
        assert picture.size == (40, 30)
    assert main(["compress", "photos/a.png", "-o", "b.lic", "--quality", "3", *run]) == exit_codes.CONFIG
    assert "quality=3: Hyperprior has one rate" in capsys.readouterr().err


def test_info_agrees_with_the_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--json", "coded"]) == exit_codes.DONE
    told = {Path(each["file"]).name: each for each in json.loads(capsys.readouterr().out)}
    assert len(json.loads(json.dumps(told))) == 3  # two of them have one name
    data = Path("coded/of many.lic").read_bytes()
    file, said = parse(data), told["of many.lic"]
    assert (said["height"], said["width"], said["bytes"]) == (64, 65, len(data))
    assert said["bpp_file"] == 8 * len(data) / (64 * 65)
    assert said["bpp"] == 8 * sum(said["string_bytes"]) / (64 * 65) == 8 * file.string_bytes / (64 * 65)
    assert (said["codec"], said["signature"][:12]) == ("mean_scale_hyperprior", "0297fc49fe7e")
    assert main(["info", "coded/a.lic"]) == exit_codes.DONE
    shown = capsys.readouterr().out
    assert all(key in shown for key in said if key != "file")


def test_info_needs_no_torch_and_says_what_is_damaged(here: Path) -> None:
    cut(Path("coded/a.lic"))
    code = "from lic_exp.__main__ import main\nprint('code', main(['info', 'coded']))"
    done = blocked(code, here)
    assert "code 1" in done.stdout, done.stderr
    assert "coded/a.lic: the file is cut" in done.stderr
    assert done.stdout.count("made_on") == 3
