"""The README's four commands, from nothing to a conclusion: a sweep of two arms, its plot, its BD-rates, its report."""

import re
import shlex
from pathlib import Path

import pytest
import toy
from checkout import ROOT
from documents import fenced
from skimage import data

from analysis.__main__ import main as analysis
from lic_exp import exit_codes
from lic_exp.cli.launch import main as launch

PACKAGE = "stepped_codecs"
CODEC = '''
import zlib

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d

from lic_exp.capabilities import CodecFacts
from lic_exp.models.base import Codec, CodecOutput, Compressed
from lic_exp.option_types import PositiveFloat


class Stepped(Codec):
    """An orthonormal transform of blocks of 4 x 4 and one step of quantisation, which is all that it learns."""

    facts = CodecFacts(downsampling_factor=4, latents=1)

    def __init__(self, *, gain: PositiveFloat) -> None:
        super().__init__()
        basis = torch.linalg.qr(torch.randn(48, 48, generator=torch.Generator().manual_seed(0)))[0]
        self.register_buffer("basis", basis.reshape(48, 3, 4, 4))
        self.log_gain = nn.Parameter(torch.tensor(gain).log())

    def forward(self, x: Tensor) -> CodecOutput:
        y = self.log_gain.exp() * conv2d(x, self.basis, stride=4)
        y_hat = y + torch.rand_like(y) - 0.5 if self.training else y.round()
        return CodecOutput(self.decode(y_hat).float(), {"y": 2 * (1 + y_hat.float().abs()).log2()}, (y_hat,))

    def decode(self, y_hat: Tensor) -> Tensor:
        return conv_transpose2d(y_hat / self.log_gain.exp(), self.basis, stride=4)

    def compress(self, x: Tensor) -> Compressed:
        y_hat = (self.log_gain.exp() * conv2d(x, self.basis, stride=4)).round()
        strings = [[zlib.compress(y.to(torch.int8).numpy().tobytes(), 9) for y in y_hat]]
        return Compressed(strings, tuple(y_hat.shape[1:]), y_hat)

    def decompress(self, compressed: Compressed) -> Tensor:
        texts = [zlib.decompress(string) for string in compressed.strings[0]]
        symbols = np.stack([np.frombuffer(text, np.int8).reshape(compressed.shape) for text in texts])
        return self.decode(torch.tensor(symbols, dtype=torch.float32)).clamp(0, 1)

    def reconstruct(self, compressed: Compressed) -> Tensor:
        return self.decode(compressed.state).clamp(0, 1)

    def update(self, force: bool = True) -> None:
        pass
'''
FILES = {
    "__init__.py": "",
    "stepped.py": CODEC,
    "conf/model/stepped.yaml": f"_target_: {PACKAGE}.stepped.Stepped\ngain: 4.0\n{toy.COMMON}",
}
SHORT = (
    f"plugins=[{PACKAGE}]",
    "optimizer.lr=0.1",
    "data.batch_size=2",
    "data.crop_size=32",
    "data.val_crop_size=32",
    "data.num_workers=0",
    "data.steps_per_epoch=10",
    "trainer.max_steps=40",
    "trainer.validate_every_steps=20",
    "evaluation.pictures=1",
    "tracker=none",
    "hydra.launcher.slots=2",
)


def the_four() -> list[list[str]]:
    (block,) = (text for text in fenced((ROOT / "README.md").read_text(), "bash") if "analysis report" in text)
    return [shlex.split(line) for line in block.splitlines()]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two photos to train on, one that validates, two that are evaluated; the working folder is empty."""
    from PIL import Image

    cut = {"train/cat": data.chelsea, "train/cup": data.coffee, "val/rocket": data.rocket}
    cut |= {"kodak/face": data.astronaut, "kodak/eye": data.retina}
    for place, (name, picture) in enumerate(cut.items()):
        file = tmp_path / "images" / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        top = 100 + 8 * place
        Image.fromarray(picture()[top : top + 64, 200:264]).save(file)
    toy.write_package(tmp_path, PACKAGE, FILES)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "images"


@pytest.mark.slow
def test_from_nothing_to_a_conclusion(photos: Path, capfd: pytest.CaptureFixture[str]) -> None:
    first, *others = the_four()
    assert len(others) == 3
    given = [word.replace("/images", str(photos)).replace("hpcm_tiny", "stepped") for word in first[2:]]

    assert launch([*given, *SHORT]) == exit_codes.DONE

    said = capfd.readouterr().err
    assert "are left out where there is no such option: spectral_reg=none" in said
    closing = re.search(r"^sweep (\S+): 8 done\n(.*)", said, re.MULTILINE | re.DOTALL)
    assert closing
    for verb in ("sweep", "rd", "report"):
        assert f"python -m analysis {verb} {closing[1]} --runs {Path.cwd()}/runs" in closing[2]
    shown = []
    for python, flag, program, *arguments in others:
        assert (python, flag, program) == ("python", "-m", "analysis")
        assert analysis(arguments) == 0
        shown.append(" ".join(capfd.readouterr().out.split()))
    plot, rates, report = shown
    assert Path("rd.png").stat().st_size > 10_000
    for curve in ("spectral_reg=none", "spectral_reg=intra", "jpeg", "vvc"):
        assert curve in plot
    assert "BD-rate" in plot
    assert "BD-rate" in rates
    assert "other-" not in f"{plot} {rates}"
    (page,) = Path("reports").glob("*.html")
    assert page.name in report
    text = page.read_text(encoding="utf-8")
    for part in ("spectral_reg=intra", "BD-rate", "vvc", "<svg", "data:image/"):
        assert part in text

    assert analysis(["rd", "sweep", "kodak/vtm_18.0"]) == 0
    assert "other-data-set" in capfd.readouterr().out  # these photos are called like Kodak, and are not
