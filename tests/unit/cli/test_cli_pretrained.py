"""`pretrained`, and `compress` and `decompress` where no codec is named: by the one that comes with the package."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from file_codecs import codec_of, encoders_picture, pixels
from PIL import Image
from without_torch import blocked

import lic_exp
from lic_exp import exit_codes
from lic_exp.__main__ import main
from lic_exp.files.parsing import parse
from lic_exp.models.portable import portable_coding
from lic_exp.pretrained import catalogue
from lic_exp.pretrained.catalogue import card, weights_of

OTHER = "mean_scale_hyperprior_tiny"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with photo.png, the same below `many`, and the weights of another codec."""
    monkeypatch.chdir(tmp_path)
    for name in ("photo.png", "many/a.png", "many/deeper/b.bmp"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels(70, 50)).save(name)
    torch.save(codec_of(OTHER).state_dict(), "weights.pth")
    return tmp_path


def files(pattern: str) -> set[str]:
    return {str(path.relative_to(Path.cwd())) for path in Path.cwd().rglob(pattern)}


def test_there_and_back_with_nothing_else(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compress", "photo.png"]) == exit_codes.DONE
    assert capsys.readouterr().out.startswith("photo.lic: 1 file, ")
    file = parse(Path("photo.lic").read_bytes())
    assert file.signature.hex() == card("box")["codec_signature"]
    assert file.delta is not None
    assert main(["decompress", "photo.lic"]) == exit_codes.CONFIG
    assert "are there already and stay" in capsys.readouterr().err
    assert main(["decompress", "photo.lic", "--force"]) == exit_codes.DONE
    assert capsys.readouterr().out == "photo.png: 1 picture\n"
    codec = lic_exp.load_pretrained("box")
    with Image.open("photo.png") as back, portable_coding():
        assert np.array_equal(np.asarray(back), encoders_picture(codec, pixels(70, 50), codec.max_quality))


def test_several_lie_beside_what_they_are_made_of(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compress", "many", "photo.png", "--max-bytes", "50000"]) == exit_codes.DONE
    assert capsys.readouterr().out.startswith("beside each: 3 files, ")
    assert files("*.lic") == {"many/a.lic", "many/deeper/b.lic", "photo.lic"}
    assert max(path.stat().st_size for path in here.rglob("*.lic")) <= 50_000
    for path in [*here.rglob("*.png"), *here.rglob("*.bmp")]:
        path.unlink()
    assert main(["decompress", "many", "photo.lic"]) == exit_codes.DONE
    assert capsys.readouterr().out == "beside each: 3 pictures\n"
    assert files("*.png") == {"many/a.png", "many/deeper/b.png", "photo.png"}


def test_its_name_is_enough_for_weights(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compress", "photo.png", "--weights", "box", "--quality", "3"]) == exit_codes.DONE
    by_model = ["--weights", "box", "--model", card("box")["model"]]
    assert main(["decompress", "photo.lic", "-o", "back.png", *by_model]) == exit_codes.DONE
    assert main(["compress", "photo.png", "--weights", "bxo", "--force"]) == exit_codes.CONFIG
    assert "--weights FILE needs --model MODEL, and --model and --set need --weights. Did you mean box?" in (
        capsys.readouterr().err
    )
    assert main(["compress", "photo.png", "--force", "--weights", "box", "--model", OTHER]) == exit_codes.CONFIG
    assert re.search(r"^--weights=box, which is of --model=box: .* does not fit", capsys.readouterr().err, re.MULTILINE)


def test_a_file_of_another_codec_is_refused_and_stops_no_other(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    by_other = ["--weights", "weights.pth", "--model", OTHER]
    assert main(["compress", "photo.png", "-o", "coded/other.lic", *by_other]) == exit_codes.DONE
    assert main(["compress", "photo.png", "-o", "coded/box.lic"]) == exit_codes.DONE
    Path("coded/cut.lic").write_bytes(Path("coded/box.lic").read_bytes()[:-1])
    capsys.readouterr()
    assert main(["decompress", "coded"]) == exit_codes.FAILED
    captured = capsys.readouterr()
    assert captured.out == f"{Path('coded/box.png')}: 1 picture\n"
    assert (
        "other.lic: coded by mean_scale_hyperprior 0297fc49fe7e, which is not pretrained: name the codec, by --run"
        in (captured.err)
    )
    assert "cut.lic: the file is cut: string 4 of 4" in captured.err
    assert main(["decompress", "coded/cut.lic", "--partial"]) == exit_codes.DONE
    assert files("coded/*.png") == {"coded/box.png", "coded/cut.png"}


def test_info_names_it_beside_the_signature(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compress", "photo.png", "-o", "coded/box.lic"]) == exit_codes.DONE
    by_other = ["--weights", "weights.pth", "--model", OTHER]
    assert main(["compress", "photo.png", "-o", "coded/other.lic", *by_other]) == exit_codes.DONE
    capsys.readouterr()
    assert main(["info", "coded", "--json"]) == exit_codes.DONE
    told = {Path(each["file"]).stem: each["pretrained"] for each in json.loads(capsys.readouterr().out)}
    assert told == {"box": "box", "other": None}


def test_what_there_is_and_what_is_known_of_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pretrained"]) == exit_codes.DONE
    shown = capsys.readouterr().out
    known = card("box")
    assert all(text in shown for text in ("box", f"{known['parameters']:,}", "model.weights=NAME"))
    assert main(["pretrained", "box"]) == exit_codes.DONE
    shown = capsys.readouterr().out
    assert all(known[key] in shown for key in ("sha256", "codec_signature", "run_signature", "code_hash"))
    assert main(["pretrained", "box", "--json"]) == exit_codes.DONE
    assert json.loads(capsys.readouterr().out) == known
    assert main(["pretrained", "--json"]) == exit_codes.DONE
    assert json.loads(capsys.readouterr().out) == [card(name) for name in catalogue.names()]
    assert main(["pretrained", "bxo"]) == exit_codes.CONFIG
    assert "there is no pretrained codec bxo. Did you mean box? Pretrained: box" in capsys.readouterr().err


def test_it_is_listed_without_torch(tmp_path: Path) -> None:
    done = blocked("from lic_exp.__main__ import main\nprint('code', main(['pretrained']))", tmp_path)
    assert "code 0" in done.stdout, done.stderr


def test_damaged_weights_are_refused_by_every_command(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compress", "photo.png"]) == exit_codes.DONE
    shutil.copytree(weights_of("box").parent, "shipped", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    Path("shipped/box.pt").write_bytes(Path("shipped/box.pt").read_bytes()[:-1])
    monkeypatch.setattr(catalogue, "FOLDER", here / "shipped")
    for words in (
        ["compress", "photo.png", "-o", "new.lic"],
        ["decompress", "photo.lic", "-o", "new.png"],
        ["pretrained"],
    ):
        assert main(words) == exit_codes.CONFIG
        assert "box.pt, have SHA-256" in capsys.readouterr().err
    assert not files("new.*")
