"""Where results go that cannot be a folder, or below one: refused by name, with nothing written."""

import json
from pathlib import Path

import pytest

from analysis.__main__ import main

POINTS = {"bpp": [0.1, 0.2, 0.4, 0.8], "psnr": [28, 30, 32, 34]}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.json").write_text(json.dumps({"results": POINTS}))
    Path("b.json").write_text(json.dumps({"results": {**POINTS, "psnr": [29, 31, 33, 35]}}))
    Path("taken").write_text("a file")
    Path("astray").symlink_to("nowhere")


@pytest.mark.parametrize("command", [["rd", "a.json"], ["bdrate", "a.json", "b.json"], ["complexity", "HPCM-Base"]])
@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        ("taken", "taken: there is something else, no folder"),
        ("taken/deeper", "taken/deeper: Not a directory"),
        ("/dev/null", "/dev/null: there is something else, no folder"),
        ("astray", "astray: there is something else, no folder"),
        ("/proc/nowhere", "/proc/nowhere: No such file or directory"),
    ],
)
def test_a_folder_that_cannot_be_made_is_refused(command, folder, reason, capsys):
    assert main([*command, "--out", f"{folder}/table.csv"]) == 2
    assert f"--out: the folder {folder} cannot be made: {reason}" in capsys.readouterr().err


@pytest.mark.parametrize("out", ["taken/curve.png", "taken/curve.json"])
def test_so_are_plots_and_curves(out, capsys):
    assert main(["rd", "a.json", "--out", out]) == 2
    assert "--out: the folder taken cannot be made" in capsys.readouterr().err


def test_a_device_is_no_folder_of_curves(capsys):
    assert main(["rd", "a.json", "b.json", "--out", "/dev/null"]) == 2
    assert "--out: the folder /dev/null cannot be made" in capsys.readouterr().err


def test_a_curve_with_a_mark_of_its_byte_order_is_read(capsys):
    """As editors of Windows write it."""
    Path("marked.json").write_text(Path("b.json").read_text(), encoding="utf-8-sig")
    assert main(["bdrate", "a.json", "marked.json"]) == 0
