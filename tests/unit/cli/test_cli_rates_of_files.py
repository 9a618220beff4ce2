"""`compress` to a wanted rate, size or memory, and `decompress --partial`."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

import lic_exp
from lic_exp import exit_codes
from lic_exp.__main__ import main
from lic_exp.cli import compress
from lic_exp.files.memory import DEFAULT_BYTES
from lic_exp.files.parsing import parse
from lic_exp.models.base import Codec

PHOTOS = {"a.png": data.astronaut()[:128, 100:228], "b.png": data.coffee()[:128, 100:228]}


@pytest.fixture(scope="module")
def codec() -> Codec:
    return lic_exp.create_model("dhic_tiny")


@pytest.fixture
def here(codec: Codec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with `photos` and the weights of dhic_tiny and of factorized_tiny."""
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for name, pixels in PHOTOS.items():
        Image.fromarray(pixels).save(f"photos/{name}")
    torch.save(codec.state_dict(), "dhic.pt")
    return tmp_path


def by(model: str = "dhic") -> list[str]:
    return ["--weights", f"{model}.pt", "--model", f"{model}_tiny"]


def files() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Path("out").glob("*.lic"))}


def test_every_file_has_the_bytes_that_it_may(here: Path, codec: Codec) -> None:
    smallest = [len(lic_exp.encode_image(pixels, codec, quality=0)) for pixels in PHOTOS.values()]
    most = max(smallest) + 300
    assert main(["compress", "photos", "-o", "out", "--max-bytes", str(most), *by()]) == exit_codes.DONE
    assert files() == {
        name.replace("png", "lic"): lic_exp.encode_image(pixels, codec, max_bytes=most)
        for name, pixels in PHOTOS.items()
    }
    assert all(len(content) <= most for content in files().values())


@pytest.mark.parametrize("option", ["--target-bpp", "--target-psnr"])
def test_every_file_meets_what_is_wanted(here: Path, codec: Codec, option: str) -> None:
    content = lic_exp.encode_image(PHOTOS["a.png"], codec, quality=20.3)
    wanted = 8 * parse(content).string_bytes / 128**2
    if option == "--target-psnr":
        shown = lic_exp.decode_image(content, codec, form="array")
        wanted = -10 * np.log10(np.square((shown.astype(float) - PHOTOS["a.png"]) / 255).mean())
    assert main(["compress", "photos/a.png", "-o", "out", option, str(wanted), *by()]) == exit_codes.DONE
    (found,) = files().values()
    assert parse(found).quality == pytest.approx(20.3, abs=2)


def test_what_one_picture_cannot_reach_stops_no_other(
    here: Path, codec: Codec, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = {name: len(lic_exp.encode_image(pixels, codec, quality=0)) for name, pixels in PHOTOS.items()}
    hard, easy = sorted(sizes, key=lambda name: -sizes[name])
    assert sizes[hard] > sizes[easy]
    code = main(["compress", "photos", "-o", "out", "--max-bytes", str(sizes[easy]), *by()])
    assert code == exit_codes.FAILED
    assert list(files()) == [easy.replace("png", "lic")]
    told = f"{hard}: {sizes[easy]} bytes are too few: the smallest file of this picture has {sizes[hard]}"
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--target-bpp", "1"], "Factorized has one rate, which cannot be made to meet 1 bpp"),
        (["--target-psnr", "30"], "has one rate, which cannot be made to meet 30 dB"),
        (["--max-bytes", "900"], "has one rate, which cannot be made to meet 900 bytes"),
        (["--quality", "3"], "has one rate, so there is no quality to choose"),
    ],
)
def test_codecs_of_one_rate_are_refused_before_anything_is_written(
    here: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    torch.save(lic_exp.create_model("factorized_tiny").state_dict(), "factorized.pt")
    assert main(["compress", "photos", "-o", "out", *words, *by("factorized")]) == exit_codes.CONFIG
    assert re.search(told, capsys.readouterr().err)
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--quality", "64"], "quality 64 is outside DHIC's range of 0 to 63"),
        (["--target-bpp", "0"], "0 bpp: what is wanted must be a number above 0"),
        (["--target-bpp", "1", "--max-bytes", "900"], "not allowed with argument"),
        (["--max-bytes", "0"], "0"),
        (["--memory-mb", "0"], "0"),
    ],
)
def test_what_no_file_can_be_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    try:
        code = main(["compress", "photos", "-o", "out", *words, *by()])
    except SystemExit as error:
        code = error.code  # type: ignore[assignment]
    assert code == exit_codes.CONFIG
    assert re.search(told, capsys.readouterr().err)
    assert not Path("out").exists()


def test_less_memory_makes_tiles(here: Path) -> None:
    assert DEFAULT_BYTES == compress.DEFAULT_MB * 2**20
    assert main(["compress", "photos/a.png", "-o", "out", "--memory-mb", "1", *by()]) == exit_codes.DONE
    (content,) = files().values()
    assert len(parse(content).strings) > 1


def test_a_cut_file_is_shown_as_far_as_it_is_whole(
    here: Path, codec: Codec, capsys: pytest.CaptureFixture[str]
) -> None:
    content = lic_exp.encode_image(PHOTOS["a.png"], codec)
    Path("cut.lic").write_bytes(content[:-10])
    Path("whole.lic").write_bytes(content)
    assert main(["decompress", "cut.lic", "whole.lic", "-o", "back", *by()]) == exit_codes.FAILED
    assert "cut.lic: the file is cut: string 4 of 4" in capsys.readouterr().err
    assert [path.name for path in Path("back").iterdir()] == ["whole.png"]
    assert main(["decompress", "cut.lic", "whole.lic", "-o", "part", "--partial", *by()]) == exit_codes.DONE
    told = capsys.readouterr().err
    assert "cut.lic: the picture is shown from the first 3 of 4 scales" in told
    assert "whole.lic: the" not in told
    with Image.open("part/cut.png") as shown:
        expected = lic_exp.decode_image(content[:-10], codec, form="array", partial=True)
        assert np.array_equal(np.asarray(shown), expected)
