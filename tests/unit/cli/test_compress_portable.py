"""`compress --portable`: files for decoders on any device, or a refusal before anything is coded."""

from pathlib import Path

import pytest
import torch
from file_codecs import codec_of, pixels
from PIL import Image

from lic_exp import exit_codes
from lic_exp.__main__ import main
from lic_exp.files.parsing import parse


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(pixels(40, 30)).save("a.png")
    return tmp_path


def by(name: str, *given: str) -> list[str]:
    torch.save(codec_of(name).state_dict(), "weights.pth")
    return ["--weights", "weights.pth", "--model", name, *(part for one in given for part in ("--set", one))]


@pytest.mark.parametrize(
    ("asked", "expected"), [([], None), (["--portable"], 1e-9), (["--no-portable"], None), (["option"], 1e-9)]
)
def test_what_is_asked_for_or_else_the_models_option(asked: list[str], expected: float | None, here: Path) -> None:
    codec = by("mean_scale_hyperprior_tiny", *(["model.portable=true"] if asked == ["option"] else []))
    flags = [flag for flag in asked if flag != "option"]
    assert main(["compress", "a.png", "-o", "a.lic", *flags, *codec]) == exit_codes.DONE
    assert parse(Path("a.lic").read_bytes()).delta == expected
    assert main(["decompress", "a.lic", "-o", "b.png", *codec]) == exit_codes.DONE
    with Image.open("b.png") as picture:
        assert picture.size == (30, 40)


def test_a_model_without_it_is_refused_by_name(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    codec = by("joint_autoregressive_tiny")
    assert main(["compress", "a.png", "-o", "a.lic", "--portable", *codec]) == exit_codes.CONFIG
    assert "JointAutoregressive has no portable mode" in capsys.readouterr().err
    assert not Path("a.lic").exists()
