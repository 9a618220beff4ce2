"""The README's four commands, from nothing to a conclusion: a sweep of two arms, its plot, its BD-rates, its report.

On photos of one's own, and on Kodak beside points of VTM as published; and what MLflow shows of the sweep in a browser.
"""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError
from urllib.request import urlopen

import pytest
import toy
from browser import browser, needs_browser
from checkout import ROOT
from commands import launch
from documents import fenced
from sweeping import sweep_in

from analysis.__main__ import main as analysis
from lic_exp import exit_codes
from lic_exp.tracking.mlflow_projection import MlflowTracker
from lic_exp.tracking.mlflow_store import record_file, sqlite_uri
from lic_exp.tracking.run_folder import RunFolder

pytestmark = pytest.mark.slow

KODAK = ROOT.parent / "shared" / "data" / "kodak"
needs_kodak = pytest.mark.skipif(not KODAK.is_dir(), reason="Kodak's 24 images are not on this machine")

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
        strings = [[zlib.compress(y.to(torch.int8).numpy().tobytes(), 1) for y in y_hat]]
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


class Concluded(NamedTuple):
    """A sweep of the README's first command. folder: where it was started; said: what it wrote to its end."""

    folder: Path
    said: str


def the_first() -> list[str]:
    """The overrides of the README's first command, as it has them."""
    (block,) = (text for text in fenced((ROOT / "README.md").read_text(), "bash") if "evaluation.data=" in text)
    first, *_ = map(shlex.split, block.splitlines())
    assert first[:3] == ["python", "launch.py", "-m"]
    return first[2:]


def the_others(anchor: str) -> list[list[str]]:
    """The arguments of `python -m analysis` that draw a conclusion beside this anchor, as the README has them."""
    (block,) = (
        text for text in fenced((ROOT / "README.md").read_text(), "bash") if f"analysis report sweep {anchor}" in text
    )
    lines = [shlex.split(line) for line in block.splitlines() if " analysis " in line]
    assert {tuple(line[:3]) for line in lines} == {("python", "-m", "analysis")}
    return [line[3:] for line in lines]


def concluded(folder: Path, evaluated: Path) -> Concluded:
    """Launch the first command on photos in `folder`, with the toy codec and short, to be evaluated on other photos."""
    places = {"/images/kodak": str(evaluated), "/images": str(folder / "images"), "hpcm_tiny": "stepped"}
    given = [re.sub("|".join(places), lambda found: places[found[0]], word) for word in the_first()]
    (folder / "work").mkdir()
    done = launch(*given, *SHORT, folder=folder / "work", path=folder)
    assert done.returncode == exit_codes.DONE, done.stderr
    return Concluded(folder / "work", done.stderr)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two photos to train on, one that validates, two to evaluate, and the toy codec."""
    from PIL import Image
    from skimage import data

    folder = tmp_path_factory.mktemp("photos")
    cut = {"train/cat": data.chelsea, "train/cup": data.coffee, "val/rocket": data.rocket}
    cut |= {"evaluated/face": data.astronaut, "evaluated/eye": data.retina}
    for place, (name, picture) in enumerate(cut.items()):
        file = folder / "images" / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        top = 100 + 8 * place
        Image.fromarray(picture()[top : top + 64, 200:264]).save(file)
    toy.write_package(folder, PACKAGE, FILES)
    return folder


@pytest.fixture(scope="module")
def swept(photos: Path) -> Concluded:
    return concluded(photos, photos / "images" / "evaluated")


def test_from_nothing_to_a_conclusion(
    swept: Concluded, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(swept.folder)
    monkeypatch.syspath_prepend(str(swept.folder.parent))
    assert "are left out where there is no such option: spectral_reg=none" in swept.said
    closing = re.search(r"^sweep (\S+): 8 done\n(.*)", swept.said, re.MULTILINE | re.DOTALL)
    assert closing
    for verb in ("sweep", "rd", "report"):
        assert f"python -m analysis {verb} {closing[1]} --runs {Path.cwd()}/runs" in closing[2]
    plot, rates, report = shown_of(the_others("--anchors"), capfd)
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
    assert "other-data-set" in capfd.readouterr().out  # these photos are not Kodak's


def shown_of(commands: list[list[str]], capfd: pytest.CaptureFixture[str]) -> list[str]:
    """What each of these prints."""
    shown = []
    for arguments in commands:
        assert analysis(arguments) == 0
        shown.append(" ".join(capfd.readouterr().out.split()))
    return shown


@needs_kodak
def test_the_same_on_kodak_beside_vtm_as_published(
    photos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "images").symlink_to(photos / "images")
    toy.write_package(tmp_path, PACKAGE, FILES)
    sweep = concluded(tmp_path, KODAK)
    monkeypatch.chdir(sweep.folder)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert re.search(r"^sweep \S+: 8 done$", sweep.said, re.MULTILINE)
    plot, rates, report = shown_of(the_others("kodak/vtm_18.0"), capfd)
    for text in (plot, rates):
        _, table, compared = text.partition("against kodak/vtm_18.0")
        assert table
        for arm in ("spectral_reg=none", "spectral_reg=intra"):
            assert re.search(rf"│ {arm} │ [+-]\d+\.\d\d │", compared)
        assert not re.search(r"\b(other-|unknown-images|fewer-images)", text)
    (page,) = Path("reports").glob("*.html")
    assert page.name in report
    text = page.read_text(encoding="utf-8")
    assert "Against kodak/vtm_18.0: rate at equal PSNR" in text
    assert not re.search(r"\b(other-data-set|unknown-images|fewer-images)", text)


MLFLOWS_OWN = re.compile(r"AG Grid|ResizeObserver|ajax-api/2.0/mlflow/users/current")
"""What MLflow's pages complain of whatever they show."""


@contextmanager
def mlflow_pages(store: Path) -> Iterator[str]:
    """MLflow's server with this store; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "ui", *("--port", str(port), "--backend-store-uri", sqlite_uri(store))],
        env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while not answers(f"{address}/health"):
            assert process.poll() is None, "MLflow's server has ended"
            assert time.monotonic() < deadline, "MLflow's server does not answer"
            time.sleep(0.1)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(address: str) -> bool:
    try:
        urlopen(address, timeout=5).close()
    except (URLError, OSError):
        return False
    return True


@needs_browser
def test_mlflow_shows_the_sweep(swept: Concluded, tmp_path: Path) -> None:
    sweep = sweep_in(swept.folder)
    store = tmp_path / "mlflow.db"
    for run in (RunFolder(sweep.runs / cell.signature) for cell in sweep.cells):
        MlflowTracker(run, None, uri=sqlite_uri(store), experiment="lic_exp", flush_s=0.1, finish_timeout_s=60.0).sync()
    labels = [cell.label for cell in sweep.cells]
    with mlflow_pages(store) as address, browser() as shown:
        experiment = f"{address}/#/experiments/1"
        shown.open(f"{experiment}?workflowType=machine_learning", width=1600)
        shown.wait_for_text("Run Name", sweep.name, "9 matching runs")
        shown.click("[role=gridcell]:has(a) button")
        shown.wait_for_text(*labels)
        shown.click("[role=gridcell] a")
        shown.wait_for_text("8 cells: 8 done", "val/rd_loss, best", "Child runs")
        table = "[...document.querySelectorAll('table tr')].map(one => one.innerText.split('\\t')[0])"
        assert set(labels) <= set(shown.value(table))
        picture = "document.querySelector('img[src*=\"get-artifact?path=rd.png\"]')"
        assert shown.wait_for(f"{picture} && {picture}.naturalWidth") > 400
        parent = shown.value("location.hash").split("?")[0].rpartition("/")[2]
        shown.open(f"{experiment}/runs/{parent}/artifacts/rd.png", width=1600)
        shown.wait_for_text("cells.md", "rd.svg")
        assert shown.wait_for("document.querySelector('img[src^=\"blob:\"]')?.naturalWidth") > 400
        shown.open(f"{experiment}/runs/{the_id_of(run)}", width=1600)
        shown.wait_for_text(labels[-1], "eval/bpp", "eval/psnr", "val/rd_loss")
        lines = shown.value("document.body.innerText").splitlines()
        found = json.loads((run.eval / "evaluation.json").read_text())["mean"]
        for measure in ("bpp", "psnr"):
            assert float(lines[lines.index(f"eval/{measure}") + 1]) == pytest.approx(found[measure], rel=1e-6)
        assert [one for one in shown.complaints if not MLFLOWS_OWN.search(one)] == []
        assert [one for one in shown.asked if not one.startswith((address, f"blob:{address}"))] == []


def the_id_of(run: RunFolder) -> str:
    """Of its run in MLflow."""
    return str(json.loads(record_file(run).read_text())["run_id"])
