"""Codecs of this platform as anchors: files of one process, pictures of another, each started once."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from checkout import ROOT
from coarse_codec import write_photos
from file_codecs import codec_of, pixels

from analysis.__main__ import main
from analysis.measured import codec as known_codecs
from analysis.measured import coders, curves
from analysis.measured.codec import AnchorError, shipped_codec
from analysis.measured.lic import LicCodec
from lic_exp import exit_codes
from lic_exp.files.coding import decode_image, encode_image
from lic_exp.files.parsing import parse

NAME = "dhic_tiny"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Those of a codec in closed form; the processes that code by it end with this file of tests."""
    path = tmp_path_factory.mktemp("lic") / "weights.pth"
    torch.save(codec_of(NAME).state_dict(), path)
    yield path
    coders.CODERS.end()


def of_file(weights: Path, model: str = NAME) -> LicCodec:
    return LicCodec("mine", (0, 20, 40, 63), ["--weights", str(weights), "--model", model], weights)


@pytest.fixture
def mine(weights: Path) -> LicCodec:
    return of_file(weights)


def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen]:
    """The processes that are started from now on."""
    found: list[subprocess.Popen] = []
    start = subprocess.Popen

    def remembered(*arguments: object, **options: object) -> subprocess.Popen:
        found.append(start(*arguments, **options))
        return found[-1]

    monkeypatch.setattr(coders.subprocess, "Popen", remembered)
    return found


def test_its_files_and_pictures_are_those_of_the_package(mine: LicCodec) -> None:
    picture, codec = pixels(40, 53), codec_of(NAME)

    found = mine.code(picture, 20)

    assert found.data == encode_image(picture, codec, quality=20)
    assert np.array_equal(found.decoded, decode_image(found.data, codec, form="array"))
    assert len(found.data) - found.container == parse(found.data).string_bytes


def test_however_many_pictures_no_further_process_is_started(mine: LicCodec, monkeypatch: pytest.MonkeyPatch) -> None:
    mine.code(pixels(16, 16), 20)
    processes = started(monkeypatch)

    for side in (16, 20, 24):
        mine.code(pixels(side, side), 20)

    assert processes == []
    assert {role: len(idle) for (role, *_), idle in coders.CODERS._idle.items()} == {"encode": 1, "decode": 1}


def test_no_more_processes_than_have_room(monkeypatch: pytest.MonkeyPatch) -> None:
    now, most = set(), []

    class Process:
        is_ready = True

        def __init__(self, arguments: list[str]) -> None:
            most.append(arguments)

    monkeypatch.setattr(coders, "CoderProcess", Process)
    asked = coders.Coders()

    def ask(role: str) -> None:
        with asked.one(role, ["x"]) as process:
            assert process not in now
            now.add(process)
            time.sleep(0.01)
            now.remove(process)

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(ask, ["encode", "decode"] * 20))
    assert len(most) <= 2 * coders.MOST


def test_what_it_refuses_is_named_and_it_goes_on(mine: LicCodec, monkeypatch: pytest.MonkeyPatch) -> None:
    mine.code(pixels(16, 16), 20)
    processes = started(monkeypatch)

    with pytest.raises(
        AnchorError, match=rf"lic_exp compress --weights .* --model {NAME} --device cpu --quality 99: quality is 99"
    ):
        mine.code(pixels(16, 16), 99)

    assert mine.code(pixels(16, 16), 20).data
    assert processes == []


def test_weights_that_do_not_fit_are_an_error_in_the_words_of_the_command(weights: Path) -> None:
    with pytest.raises(AnchorError, match=r"--weights: .*weights\.pth does not fit"):
        of_file(weights, "hyperprior_tiny").code(pixels(16, 16), 0)


def test_weights_that_are_not_there_are_a_reason(tmp_path: Path) -> None:
    assert "No such file" in str(of_file(tmp_path / "none.pth").missing())
    assert "the card of nosuch: " in str(LicCodec("nosuch", (0,), ["--weights", "nosuch"]).missing())


def test_other_weights_are_another_version_and_the_same_ones_are_not(tmp_path: Path, weights: Path) -> None:
    (tmp_path / "copy.pth").write_bytes(weights.read_bytes())
    (tmp_path / "other.pth").write_bytes(weights.read_bytes() + b"\0")
    mine, copy, other = map(of_file, (weights, *sorted(tmp_path.iterdir())))

    assert mine.version() == copy.version() != other.version()
    assert ".lic 1, torch " in mine.version()


def test_its_curve_counts_every_byte_where_that_is_asked_for(
    mine: LicCodec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `analysis anchors` takes the codecs that are shipped."""
    monkeypatch.setattr(curves, "shipped", lambda: {"mine": Path("mine.py")})
    monkeypatch.setattr(curves, "shipped_codec", lambda name: mine)
    folder = write_photos(tmp_path / "photos", (40, 53), (33, 20))
    for container in ("in", "out"):
        command = ["anchors", "--data", str(folder), "--codecs", "mine", "--container", container]
        assert main([*command, "--out", str(tmp_path / f"{container}.json")]) == exit_codes.DONE
    whole, strings = (json.loads((tmp_path / f"{container}.json").read_text()) for container in ("in", "out"))

    files = [row["data_bytes"] for row in whole["rows"]]
    assert files == [row["data_bytes"] for row in strings["rows"]]
    assert all(row["bpp"] == 8 * row["data_bytes"] / (row["height"] * row["width"]) for row in whole["rows"])
    assert all(one > other for one, other in zip(whole["results"]["bpp"], strings["results"]["bpp"], strict=True))
    assert whole["optimized_for"] == "mse"
    assert whole["source"]["version"] == mine.version()


def test_a_process_ends_with_whoever_asked_even_killed(weights: Path) -> None:
    program = f"""
import time
from analysis.measured.coders import CODERS
from lic_exp.files.frames import Frame
words = {{"do": "encode", "height": 16, "width": 16, "quality": 0}}
with CODERS.one("encode", ["--weights", {str(weights)!r}, "--model", {NAME!r}]) as process:
    process.ask(Frame(words, bytes(16 * 16 * 3)))
    print(process._process.pid, flush=True)
    time.sleep(600)
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment) as asking:
        assert asking.stdout is not None
        pid = int(asking.stdout.readline())
        assert _state(pid) != "Z"
        asking.send_signal(signal.SIGKILL)
    while _state(pid) != "Z":
        time.sleep(0.1)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"


def test_the_box_is_a_codec_like_the_others() -> None:
    box = shipped_codec("box")
    assert "box" in known_codecs.shipped()
    assert isinstance(box, LicCodec)
    assert box.file is None
    assert box.command(12) == "lic_exp compress --weights box --device cpu --quality 12"


def test_a_process_that_something_has_killed_is_replaced_and_one_that_is_not_ends_well(
    mine: LicCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = mine.code(pixels(16, 16), 20)
    for idle in coders.CODERS._idle.values():
        for one in idle:
            one._process.kill()
            one._process.wait()
    processes = started(monkeypatch)

    assert mine.code(pixels(16, 16), 20).data == first.data
    coders.CODERS.end()

    assert [process.returncode for process in processes] == [exit_codes.DONE] * 2
