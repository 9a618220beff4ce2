"""`eval` of a run that is not whole, or of images that are not there: a line, exit code 2, and nothing is left."""

import shutil
from pathlib import Path

import pytest
import torch

from lic_exp import exit_codes
from lic_exp.__main__ import main


def no_best(run: Path) -> None:
    (run / "checkpoints" / "best.pt").unlink()


def empty_best(run: Path) -> None:
    (run / "checkpoints" / "best.pt").write_bytes(b"")


def a_folder_for_best(run: Path) -> None:
    no_best(run)
    (run / "checkpoints" / "best.pt").mkdir()


def a_checkpoint_without_its_step(run: Path) -> None:
    torch.save({"format": 1, "identity": run.name, "codec": {}}, run / "checkpoints" / "best.pt")


def a_checkpoint_of_something_else(run: Path) -> None:
    torch.save({"format": 1, "identity": run.name, "step": 1, "codec": [1, 2]}, run / "checkpoints" / "best.pt")


def no_checkpoints(run: Path) -> None:
    shutil.rmtree(run / "checkpoints")


def a_file_for_checkpoints(run: Path) -> None:
    no_checkpoints(run)
    (run / "checkpoints").write_text("mine")


def a_file_for_results(run: Path) -> None:
    (run / "eval").write_text("mine")


def a_link_for_results(run: Path) -> None:
    (run / "eval").symlink_to(run / "nowhere")


DAMAGE = (
    *(no_best, empty_best, a_folder_for_best, a_checkpoint_without_its_step, a_checkpoint_of_something_else),
    *(no_checkpoints, a_file_for_checkpoints, a_file_for_results, a_link_for_results),
)


def tree(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_of_a_run_that_is_not_whole(make_run, damage, capsys):
    run = make_run("0123456789abcdef", files=("best.pt",))
    damage(run)
    before = tree(run.parent)
    assert main(["eval", str(run)]) == exit_codes.CONFIG
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert str(run / "eval") in said or "best.pt" in said
    assert len(said.strip().splitlines()) == 1
    assert tree(run.parent) == before


@pytest.mark.parametrize("data", ["nowhere", "empty", "a_file", "link"])
@pytest.mark.parametrize("out", [[], ["--out", "results/of/mine"]])
def test_of_images_that_are_not_there(make_run, tmp_path, data, out, capsys):
    run = make_run("0123456789abcdef", files=("best.pt",))
    (tmp_path / "empty").mkdir()
    (tmp_path / "a_file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    before = tree(tmp_path)
    assert main(["eval", str(run), "--data", data, *out]) == exit_codes.CONFIG
    assert "Traceback" not in capsys.readouterr().err
    assert tree(tmp_path) == before


def test_what_the_surroundings_refuse_of_any_command_is_told_by_the_path(make_run, monkeypatch, capsys):
    run = make_run("0123456789abcdef", files=("best.pt",))

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(run / "x"))

    for command in ("export", "eval", "rm"):
        monkeypatch.setattr(f"lic_exp.cli.{command}.find_run", refused)
        assert main([command, str(run)]) == exit_codes.FAILED
        assert capsys.readouterr().err == f"{run / 'x'}: Permission denied\n"
