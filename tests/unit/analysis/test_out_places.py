"""Where results go that cannot be a folder, or below one: refused by name, with nothing written."""

import errno
import json
import os
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


COMMANDS = (
    ["rd", "a.json", "--out", "{}.csv"],
    ["rd", "a.json", "--out", "{}.json"],
    ["rd", "a.json", "--out", "{}.png"],
    ["bdrate", "a.json", "b.json", "--out", "{}.csv"],
    ["bdrate", "a.json", "b.json", "--out", "{}.json"],
    ["complexity", "HPCM-Base", "--out", "{}.md"],
)


def given(command, place):
    return [part.format(place) for part in command]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_file_that_cannot_be_there_is_refused_by_the_flag(command, capsys):
    """A folder has its name; it leads to a device; nothing may be made there."""
    suffix = command[-1].removeprefix("{}")
    Path(f"folder{suffix}").mkdir()
    Path(f"full{suffix}").symlink_to("/dev/full")
    for place, reason in (
        ("folder", "it is a folder"),
        ("full", "it is no regular file"),
        ("/proc/x", "No such file or directory"),
    ):
        assert main(given(command, place)) == 2
        said = capsys.readouterr()
        assert said.err == f"--out={place}{suffix} cannot be written: {reason}\n"
        assert said.out == ""
    assert os.readlink(f"full{suffix}") == "/dev/full"


@pytest.mark.parametrize("command", [*COMMANDS, ["ablation", "table2", "--out", "{}"]], ids=" ".join)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_what_a_disk_refuses_is_told_by_the_flag_and_leaves_what_was_there(command, number, monkeypatch, capsys):
    place = Path("mine" if command[0] == "ablation" else command[-1].format("mine"))
    kept = place / "table2.md" if command[0] == "ablation" else place
    kept.parent.mkdir(exist_ok=True)
    kept.write_text("mine")

    def refused(file):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refused)
    assert main(given(command, "mine")) == 1
    said = capsys.readouterr().err
    assert said == f"--out={kept}: cannot be written: {os.strerror(number)}\n"
    assert kept.read_text() == "mine"
    assert not list(kept.parent.glob(".*"))


def test_a_link_to_a_file_stays_one_and_the_file_is_written():
    Path("elsewhere").mkdir()
    Path("elsewhere/mine.csv").write_text("old")
    Path("link.csv").symlink_to("elsewhere/mine.csv")
    assert main(["rd", "a.json", "--out", "link.csv"]) == 0
    assert Path("link.csv").is_symlink()
    assert Path("elsewhere/mine.csv").read_text().startswith("curve,")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rd", "a.json", "--out", "x.txt"], "--out=x.txt: write .csv"),
        (["rd", "a.json", "b.json", "--out", "x.json"], "--out=x.json: write .csv"),
        (["bdrate", "a.json", "b.json", "--out", "x.md"], "--out=x.md: a BD-rate table is written as .csv or .json"),
        (["complexity", "--out", "x.txt"], "--out=x.txt: a table of complexities is written as .csv, .json, .md"),
        (["rd", "a.json", "--metric", "lpips"], "--metric: no metric 'lpips': it is one of psnr"),
        (["bdrate", "a.json", "b.json", "--metric", "ms-ssim"], "--metric: a has no ms-ssim; it has psnr"),
        (["bdrate", "a.json", "b.json", "--method", "pchp"], "--method: no method 'pchp': it is one of pchip"),
    ],
)
def test_what_is_wrong_is_told_by_the_flag(arguments, said, capsys):
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith(said)
    assert sorted(path.name for path in Path().iterdir()) == ["a.json", "astray", "b.json", "taken"]
