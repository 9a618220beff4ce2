import dataclasses
import io
import json
import math
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from rich.console import Console
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from lic_exp.capabilities import CodecFacts
from lic_exp.evaluation import watching
from lic_exp.evaluation.evaluator import EvaluationError, evaluate
from lic_exp.evaluation.pictures import amplification
from lic_exp.evaluation.report import Evaluation, evaluation_table, rd_curve
from lic_exp.metrics import psnr
from lic_exp.models.base import Codec, CodecOutput, Compressed
from lic_exp.tracking import names

CPU = torch.device("cpu")
BLOCK = 4


class ToyCodec(Codec):
    """Quantised pixels, coded by zlib; it estimates eight bits for each."""

    facts = CodecFacts(downsampling_factor=BLOCK, latents=1)

    def __init__(self, levels: int = 16) -> None:
        super().__init__()
        self.levels = nn.Parameter(torch.tensor(float(levels)))
        self.frozen = nn.BatchNorm2d(3).eval()
        self.updated = False
        self.seen: list[tuple[bool, bool, bool, bool]] = []

    def forward(self, x: Tensor) -> CodecOutput:
        symbols = self.symbols(x)
        return CodecOutput(self.image(symbols), {"y": torch.full_like(symbols, 8.0)}, (symbols,))

    def compress(self, x: Tensor) -> Compressed:
        assert self.updated
        assert x.shape[-1] % BLOCK == 0
        assert x.shape[-2] % BLOCK == 0
        autocast, tf32 = torch.is_autocast_enabled("cpu"), torch.backends.cuda.matmul.allow_tf32
        self.seen.append((self.training, torch.is_grad_enabled(), autocast, tf32))
        symbols = self.symbols(x)
        strings = [[zlib.compress(image.to(torch.uint8).numpy().tobytes()) for image in symbols], [b"side"] * len(x)]
        return Compressed(strings, symbols.shape[-2:], state=symbols)

    def decompress(self, compressed: Compressed) -> Tensor:
        assert compressed.state is None
        images = [np.frombuffer(zlib.decompress(string), np.uint8) for string in compressed.strings[0]]
        symbols = torch.tensor(np.stack(images), dtype=torch.float32)
        return self.image(symbols.view(len(images), -1, *compressed.shape))

    def reconstruct(self, compressed: Compressed) -> Tensor:
        return self.image(compressed.state)

    def update(self, force: bool = True) -> None:
        self.updated = force
        self.tables = self.levels.detach().clone()

    def symbols(self, x: Tensor) -> Tensor:
        return pixel_unshuffle((x * self.levels).round(), BLOCK)

    def image(self, symbols: Tensor) -> Tensor:
        return pixel_shuffle(symbols, BLOCK) / self.levels


class WrongDecoder(ToyCodec):
    """Off by one part in a million in one sample of every image wider than 40 pixels."""

    def decompress(self, compressed: Compressed) -> Tensor:
        x_hat = super().decompress(compressed)
        x_hat[0, 1, 2, 3] += 1e-6 if x_hat.shape[-1] > 40 else 0
        return x_hat


class NaNDecoder(ToyCodec):
    def decompress(self, compressed: Compressed) -> Tensor:
        return super().decompress(compressed) * math.nan


def photo(height: int, width: int) -> Tensor:
    rows, columns = torch.linspace(0, 1, height).view(-1, 1), torch.linspace(0, 1, width).view(1, -1)
    return torch.stack([rows * columns, rows.expand(height, width), (1 - columns).expand(height, width)])[None]


IMAGES = [("large.png", photo(161, 170)), ("odd.png", photo(37, 53)), ("even.png", photo(40, 24))]


def run(
    codec: Codec, folder: Path, images: object = IMAGES, pictures: int = 0, console: Console | None = None
) -> Evaluation:
    return evaluate(codec, images, folder=folder, pictures=pictures, device=CPU, progress=console)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("eval")


@pytest.fixture(scope="module")
def evaluation(folder: Path) -> Evaluation:
    return run(ToyCodec(), folder, pictures=2)


def test_rate_is_every_transmitted_byte_over_original_pixels(evaluation: Evaluation) -> None:
    codec = ToyCodec()
    codec.update()
    for (_, x), row in zip(IMAGES, evaluation.rows.to_dict("records"), strict=True):
        compressed = codec.compress(codec.pad(x))
        sent = sum(len(string) for kind in compressed.strings for string in kind)
        pixels, padded = x[0, 0].numel(), codec.pad(x).numel()
        assert row["bpp"] == 8 * sent / pixels
        assert row["bpp_estimated"] == pytest.approx(8 * padded / pixels)
        assert row["bpp_gap_percent"] == pytest.approx(100 * (sent / padded - 1))


def test_pictures_are_cropped_to_the_original_and_measured_there(evaluation: Evaluation) -> None:
    expected = [psnr((x * 16).round() / 16, x).item() for _, x in IMAGES]
    assert evaluation.rows["psnr"].tolist() == expected
    assert evaluation.rows[["height", "width"]].to_numpy().tolist() == [[161, 170], [37, 53], [40, 24]]


def test_ms_ssim_is_blank_where_the_image_is_too_small(evaluation: Evaluation) -> None:
    large, odd, even = evaluation.rows["ms_ssim"]
    assert 0.5 < large < 1
    assert math.isnan(odd)
    assert math.isnan(even)
    assert evaluation.mean["ms_ssim"] == large
    assert evaluation.mean["ms_ssim_images"] == 1
    assert evaluation.rows["ms_ssim_db"][0] == pytest.approx(-10 * math.log10(1 - large), rel=1e-4)


def test_the_decoder_is_exact(evaluation: Evaluation) -> None:
    assert evaluation.rows["exact"].tolist() == [True, True, True]
    assert evaluation.rows["max_abs_difference"].tolist() == [0, 0, 0]
    assert evaluation.mismatches == []


def test_files_hold_the_same_numbers(evaluation: Evaluation, folder: Path) -> None:
    table = pd.read_csv(folder / "images.csv")
    pd.testing.assert_frame_equal(table, evaluation.rows, check_dtype=False, rtol=1e-12)
    saved = json.loads((folder / "evaluation.json").read_text())
    assert saved["mean"] == evaluation.mean
    assert saved["mean"]["bpp"] == pytest.approx(table["bpp"].mean())
    assert [row["bpp"] for row in saved["rows"]] == evaluation.rows["bpp"].tolist()
    assert saved["rows"][1]["ms_ssim"] is None
    assert saved["exact"] is True
    assert saved["torch"] == torch.__version__
    assert saved["device"] == "cpu"


def test_rd_point_has_compressais_lists(evaluation: Evaluation, folder: Path) -> None:
    saved = json.loads((folder / "rd_point.json").read_text())
    assert saved["name"] == "ToyCodec"
    mean = evaluation.mean
    assert saved["results"] == {
        "bpp": [mean["bpp"]],
        "psnr": [mean["psnr"]],
        "encoding_time": [mean["encode_s"]],
        "decoding_time": [mean["decode_s"]],
    }


def test_a_curve_has_one_entry_per_rate(tmp_path: Path) -> None:
    points = [run(ToyCodec(levels), tmp_path, IMAGES[:1]) for levels in (4, 32)]
    results = rd_curve(points)["results"]
    assert set(results) == {"bpp", "psnr", "ms-ssim", "encoding_time", "decoding_time"}
    assert results["ms-ssim"] == [point.rows["ms_ssim"][0] for point in points]
    assert results["psnr"][0] < results["psnr"][1]


def test_a_wrong_decoder_is_reported_everywhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = run(WrongDecoder(), tmp_path, pictures=1)
    assert found.mismatches == ["large.png", "odd.png"]
    assert found.rows["exact"].tolist() == [False, False, True]
    assert 0 < found.rows["max_abs_difference"][0] < 2e-6
    saved = json.loads((tmp_path / "evaluation.json").read_text())
    assert saved["exact"] is False
    assert saved["mismatches"] == ["large.png", "odd.png"]
    assert "large.png, odd.png" in caplog.text
    shown = printed(found, max_rows=0)
    assert "on 2 of 3 images" in shown
    assert "odd.png" in shown
    assert "even.png" not in shown


def test_a_lossless_codec_has_infinite_psnr(tmp_path: Path) -> None:
    x = (photo(20, 20) * 255).round() / 255
    found = run(ToyCodec(levels=255), tmp_path, [("x", x)])
    assert found.mean["psnr"] == math.inf
    assert json.loads((tmp_path / "evaluation.json").read_text())["mean"]["psnr"] == "inf"
    assert pd.read_csv(tmp_path / "images.csv")["psnr"][0] == math.inf


@pytest.fixture
def tf32_allowed() -> Iterator[None]:
    matmul = torch.backends.cuda.matmul
    before, matmul.allow_tf32 = matmul.allow_tf32, True
    yield
    matmul.allow_tf32 = before


@pytest.mark.usefixtures("tf32_allowed")
def test_coding_is_exact_and_everything_is_left_as_it_was(tmp_path: Path) -> None:
    codec = ToyCodec()
    with torch.autocast("cpu", torch.bfloat16):
        run(codec, tmp_path, IMAGES[:1])
        assert torch.is_autocast_enabled("cpu")
    training, grad, autocast, tf32 = False, False, False, False
    assert codec.seen == [(training, grad, autocast, tf32)] * 2
    assert codec.training
    assert not codec.frozen.training
    assert torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.deterministic


def test_training_can_go_on_with_what_coding_left_behind(tmp_path: Path) -> None:
    codec = ToyCodec()
    run(codec, tmp_path, IMAGES[2:])
    # Tables made in inference mode would raise here.
    (codec(IMAGES[2][1]).x_hat * codec.tables).sum().backward()
    assert codec.levels.grad is not None


def test_modes_are_restored_after_an_error_that_names_the_image(tmp_path: Path) -> None:
    codec = NaNDecoder()
    with pytest.raises(EvaluationError, match=r"image 'odd.png', shape \(1, 3, 37, 53\): .*NaN or infinity"):
        run(codec, tmp_path, IMAGES[1:])
    assert codec.training


def test_wrong_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"image 'grey', shape \(1, 1, 8, 8\): .*\(1, 3, H, W\)"):
        run(ToyCodec(), tmp_path, [("grey", torch.zeros(1, 1, 8, 8))])
    with pytest.raises(ValueError, match="no images"):
        run(ToyCodec(), tmp_path, [])


def test_metrics_go_by_the_trackers_names(evaluation: Evaluation) -> None:
    metrics = evaluation.metrics()
    assert metrics[names.EVAL_BPP] == evaluation.mean["bpp"]
    assert metrics[names.EVAL_MS_SSIM] == evaluation.mean["ms_ssim"]
    small = dataclasses.replace(evaluation, rows=evaluation.rows[1:])
    assert set(small.metrics()) == {names.EVAL_BPP, names.EVAL_BPP_ESTIMATED, names.EVAL_PSNR}


def test_pictures_of_the_first_images_are_drawn(evaluation: Evaluation, folder: Path) -> None:
    assert sorted(path.name for path in folder.glob("*.png")) == ["000_large.png", "001_odd.png"]
    with Image.open(folder / "001_odd.png") as picture:
        assert picture.width > 3 * 53
        assert len(np.unique(np.asarray(picture.convert("L")))) > 50


@pytest.mark.parametrize(("level", "factor"), [(0, 100), (3, 50), (30, 5), (200, 1)])
def test_amplification_keeps_errors_below_full_scale(level: int, factor: int) -> None:
    assert amplification(np.full((8, 8), float(level))) == factor


def printed(evaluation: Evaluation, **options: int) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(evaluation_table(evaluation, **options))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_the_table_shows_images_and_their_mean(evaluation: Evaluation) -> None:
    bracketed = evaluation.rows.assign(image=["[red]large.png", "odd.png", "even.png"])
    shown = printed(dataclasses.replace(evaluation, rows=bracketed))
    assert "[red]large.png" in shown
    assert "nan" not in shown
    assert f"{evaluation.mean['bpp']:.4f}" in shown
    assert "WARNING" not in shown
    assert "large" not in printed(evaluation, max_rows=2)
    assert f"{evaluation.mean['bpp']:.4f}" in printed(evaluation, max_rows=2)


def test_progress_is_few_plain_lines_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(0, 100, 2))
    monkeypatch.setattr("lic_exp.evaluation.watching.time.monotonic", lambda: float(next(now)))
    console = Console(file=io.StringIO())

    def endless() -> Iterator[int]:
        yield from range(8)

    assert list(watching.watch(endless(), console)) == list(range(8))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines == [
        "evaluated 3 of ? images in 6 s",
        "evaluated 6 of ? images in 12 s",
        "evaluated 8 images in 18.0 s",
    ]


@pytest.mark.parametrize(
    ("failing", "said"),
    [
        ([], ["evaluated 3 of 4 images in 6 s", "evaluated 4 images in 10.0 s"]),
        ([1], ["evaluated 2 of 4 images in 6 s; 1 could not be", "evaluated 3 of 4 images in 10.0 s; 1 could not be"]),
        ([0, 2, 3], ["evaluated 1 of 4 images in 6 s; 2 could not be", "evaluated 1 of 4 images in 10.0 s; 3 could n"]),
        (
            [0, 1, 2, 3],
            ["evaluated 0 of 4 images in 6 s; 3 could not be", "evaluated 0 of 4 images in 10.0 s; 4 could not"],
        ),
    ],
)
def test_what_could_not_be_evaluated_is_not_counted_as_evaluated(failing, said, monkeypatch) -> None:
    now = iter(range(0, 100, 2))
    monkeypatch.setattr("lic_exp.evaluation.watching.time.monotonic", lambda: float(next(now)))
    console, failures = Console(file=io.StringIO(), width=200), []
    for image in watching.watch(range(4), console, failures):
        if image in failing:
            failures.append(image)  # noqa: PERF401 (while it is watched)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert [line[: len(text)] for line, text in zip(lines, said, strict=True)] == said


def test_progress_is_a_bar_on_a_terminal() -> None:
    console = Console(file=io.StringIO(), force_terminal=True)
    assert list(watching.watch(range(3), console)) == [0, 1, 2]
    assert "evaluating" in console.file.getvalue()  # type: ignore[attr-defined]
