"""The command `anchors`: curves, gaps, refusals, progress, and life without torch."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from without_torch import blocked

import analysis
from analysis.__main__ import main
from analysis.measured import ffmpeg, pillow
from analysis.measured.progress import ProgressLines


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder, random = tmp_path / "holiday", np.random.default_rng(0)
    folder.mkdir()
    for i, size in enumerate([(64, 48), (40, 72)]):
        coarse = Image.fromarray(random.integers(0, 256, (9, 9, 3), dtype=np.uint8))
        coarse.resize(size, Image.Resampling.BICUBIC).save(folder / f"{i}.png")
    return folder


def test_curves_come_out_as_files_that_the_other_commands_take(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["anchors", "--data", str(photos), "--codecs", "jpeg,webp", "--out", str(tmp_path / "out")]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert sum("│ jpeg" in line or "│ webp" in line for line in lines) == 2
    jpeg = analysis.load_curve(tmp_path / "out" / "jpeg.json")
    assert (jpeg.name, len(jpeg)) == ("jpeg", 6)
    assert jpeg.about["images"]["name"] == "holiday"
    written = json.loads((tmp_path / "out" / "jpeg.json").read_text())
    assert sum(point["bytes"] for point in written["points"]) == sum(row["data_bytes"] for row in written["rows"])
    assert main(["bdrate", str(tmp_path / "out/jpeg.json"), str(tmp_path / "out/webp.json")]) == 0


def test_a_second_time_nothing_is_coded(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["anchors", "--data", str(photos), "--codecs", "jpeg,jpeg2000", "--out", str(tmp_path / "out")]
    assert main(command) == 0
    before = capsys.readouterr().out, (tmp_path / "out/jpeg.json").read_bytes()

    def never(*_: object) -> None:
        raise AssertionError("coded again")

    monkeypatch.setattr(pillow.PillowCodec, "code", never)

    assert main(command) == 0
    assert (capsys.readouterr().out, (tmp_path / "out/jpeg.json").read_bytes()) == before


def test_other_points_are_measured_where_they_are_asked_for(photos: Path, tmp_path: Path) -> None:
    file = tmp_path / "jpeg.json"
    options = ["--codecs", "jpeg", "--quality", "jpeg=90,20", "--metrics", "psnr-y", "--out", str(file)]
    assert main(["anchors", "--data", str(photos), *options]) == 0

    written = json.loads(file.read_text())
    assert [point["quality"] for point in written["points"]] == [20, 90]
    assert set(written["results"]) == {"bpp", "psnr", "psnr-y"}


def test_a_codec_that_is_not_here_is_a_gap_that_is_named_and_an_error_where_it_is_asked_for(
    photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ffmpeg, "_program", lambda: None)
    monkeypatch.setattr(pillow, "find_spec", lambda name: None)

    assert main(["anchors", "--data", str(photos), "--limit", "1"]) == 0
    out, err = capsys.readouterr()
    for name in ("hevc", "av1", "vvc", "jpegxl"):
        assert f"{name} is left out: " in err
        assert f"│ {name}" not in out
    assert "│ avif" in out
    assert main(["anchors", "--data", str(photos), "--codecs", "jpeg,vvc"]) == 2
    assert "vvc: there is no ffmpeg: pip install 'lic-exp[anchors]'" in capsys.readouterr().err
    assert main(["anchors", "--list"]) == 0
    assert "there is no ffmpeg" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "anchors needs --data"),
        (["--data", "nowhere"], "nowhere does not exist"),
        (["--data", ".", "--codecs", "jpg"], "there is no codec jpg. Did you mean jpeg?"),
        (["--data", ".", "--codecs", "bpg"], "there is no codec bpg. There are jpeg"),
        (["--data", ".", "--codecs", "jpeg,jpeg"], "there is a codec jpeg already"),
        (["--data", ".", "--codecs", "vtm.yaml"], "vtm.yaml: there is no such file"),
        (["--data", ".", "--quality", "jpeg:10"], "--quality=jpeg:10: it has the form jpeg=10,30,50"),
        (["--data", ".", "--quality", "jpeg=10,ten"], "it has the form jpeg=10,30,50"),
        (["--data", ".", "--quality", "jpeg=nan"], "it has the form jpeg=10,30,50"),
        (["--data", ".", "--quality", "jpeg=10,inf"], "it has the form jpeg=10,30,50"),
        (["--data", ".", "--quality", "jpeg=10,10"], "a quality stands there twice"),
        (["--data", ".", "--codecs", "webp", "--quality", "jpeg=10"], "--quality: jpeg is not among the codecs: webp"),
        (["--data", ".", "--codecs", "jpeg", "--metrics", "vmaf"], "--metrics: no metric 'vmaf'"),
        (["--data", ".", "--out", "a.png"], "--out=a.png: curves are written as .csv, .json"),
    ],
)
def test_a_wrong_command_is_refused(
    options: list[str], message: str, photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(photos)

    assert main(["anchors", *options]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--limit", "--workers"])
def test_what_is_counted_counts_from_1(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["anchors", "--data", ".", option, "0"])
    assert f"argument {option}: 0 should be a whole number from 1" in capsys.readouterr().err


def test_a_failing_codec_ends_it_and_says_on_which_photo(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "no.py").write_text("import sys; sys.exit('no licence')")
    file = tmp_path / "mine.yaml"
    program = f"{sys.executable} {tmp_path}/no.py"
    file.write_text(
        f"name: mine\nqualities: [1]\nencode: {program} {{input}} {{stream}} {{quality}}\n"
        f"decode: {program} {{stream}} {{output}}\n"
    )

    assert main(["anchors", "--data", str(photos / "0.png"), "--codecs", str(file)]) == 2
    error = capsys.readouterr().err
    assert "mine, 0.png: " in error
    assert "no licence" in error


def test_it_needs_no_torch_and_loads_none(photos: Path) -> None:
    done = blocked(
        "from analysis.__main__ import main\n"
        f"assert main(['anchors', '--data', {str(photos)!r}, '--codecs', 'jpeg,webp']) == 0\n"
        "assert not {'torch', 'pandas', 'matplotlib'} & set(sys.modules)",
        photos,
    )
    assert done.returncode == 0, done.stderr


def test_where_no_terminal_is_lines_come_now_and_then_and_none_when_all_is_known(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from analysis.measured import progress

    seconds = iter(range(0, 10_000, 4))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(seconds))
    with ProgressLines(100) as lines:
        lines("jpeg", 20, 50)
        lines("vvc", 0, 50)
        for done in range(21, 51):
            lines("jpeg", done, 50)
    said = capsys.readouterr().err.splitlines()
    assert 3 <= len(said) <= 12
    assert said[0].startswith("measured 2")
    assert all("(jpeg " in line and " left" in line for line in said)

    with ProgressLines(100) as lines:
        lines("jpeg", 50, 50)
        lines("vvc", 50, 50)
    assert capsys.readouterr().err == ""
