"""What can be judged is judged before anything is written: who is refused leaves no folder, no attempt, no trace."""

import json
import os
import re
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch
import toy
from commands import QUICK, finish, start
from made_runs import write_run
from PIL import Image

from lic_exp import exit_codes
from lic_exp.__main__ import main as lic_exp_main
from lic_exp.cli.launch import main
from lic_exp.config.errors import ConfigError
from lic_exp.config.loading import load_config
from lic_exp.runs.build import build_codec
from lic_exp.runs.judging import judged
from lic_exp.runs.run import Run
from lic_exp.sweeps.create import sweep_request
from lic_exp.sweeps.folder import FOLDER
from lic_exp.sweeps.freezing import freeze
from lic_exp.sweeps.trainings import trainings
from lic_exp.tracking.run_folder import RunFolder

SMALL = ("model=factorized_tiny", *QUICK, "trainer.max_steps=1")
FOLDERS = (
    "data=folder",
    "data.train=[given/train]",
    "data.val=[given/val]",
    "data.crop_size=32",
    "data.batch_size=1",
    "data.num_workers=0",
)
NOBODY = "0123456789abcdef"

REFUSED = {
    "a pattern that freezes nothing": (["model.freeze=['zzz*']"], "model.freeze: 'zzz*' matches no parameter"),
    "a pattern that freezes all": (["model.freeze=['*']"], "optimizer: Factorized has no trainable parameters besides"),
    "weights of another model": (["model.weights=given/other.pt"], "does not fit"),
    "weights that are none": (["model.weights=given/text.pt"], "given/text.pt"),
    "weights that are not there": (["model.weights=given/nowhere.pt"], "model.weights=given/nowhere.pt: No such file"),
    "an image that is none": ([*FOLDERS, "data.train=[given/spoilt]"], "bad.png is not an image"),
    "an image on both sides": ([*FOLDERS, "data.val=[given/copy]"], "training image a.png is evaluation image a.png"),
    "images that are too small": ([*FOLDERS, "data.crop_size=96"], "smaller than the 96 needed"),
    "all images left out": (
        [*FOLDERS, "data.crop_size=96", "data.preflight=skip"],
        "data.preflight=skip leaves no training image",
    ),
    "images for evaluation that are not there": (
        ["evaluation.enabled=true", "evaluation.data=given/nowhere"],
        "given/nowhere does not exist",
    ),
    "an image for evaluation that is none": (
        ["evaluation.enabled=true", "evaluation.data=given/spoilt"],
        "bad.png is not an image",
    ),
    "a beginning that is not there": ([f"init_from='{NOBODY}'"], f"init_from={NOBODY}: there is no run of this sig"),
    "a parent that is not there": ([f"parent='{NOBODY}'"], f"parent={NOBODY}: there is no run of this signature"),
    "rates of a factor that has none": (["optimizer.lr_factors={zzz: 2.0}"], "optimizer: lr_factors: 'zzz' matches no"),
    "a place below a file": (["paths.runs=given/text.pt/runs"], "given/text.pt: Not a directory"),
    "a link that leads nowhere": (["paths.runs=given/link"], "a link that leads nowhere"),
    "a device that is not there": (["trainer.device=cuda:77"], "trainer.device=cuda:77: this machine has"),
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a folder of files that are given."""
    given = tmp_path / "given"
    for side, colour in (("train", 10), ("val", 200), ("spoilt", 90), ("copy", 10)):
        (given / side).mkdir(parents=True)
        gradient = Image.linear_gradient("L").resize((80, 72)).rotate(colour)
        gradient.convert("RGB").save(given / side / "a.png")
    (given / "spoilt" / "bad.png").write_text("I am a text.")
    (given / "text.pt").write_text("I am a text.")
    (given / "link").symlink_to(given / "gone")
    torch.save({"g_z.weight": torch.zeros(2, 2)}, given / "other.pt")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def everything(folder: Path) -> dict[Path, int]:
    return {path: path.lstat().st_mtime_ns for path in folder.rglob("*") if not path.is_dir()}


@pytest.mark.parametrize("case", REFUSED)
def test_of_a_refusal_nothing_is_left(here, case, capfd):
    overrides, message = REFUSED[case]
    before = everything(here)
    assert main([*SMALL, *overrides]) == exit_codes.CONFIG
    said = capfd.readouterr().err
    assert "nothing was started" in said
    assert message in said
    assert "is created, not done" not in said
    assert everything(here) == before
    assert [path.name for path in here.iterdir()] == ["given"]


@pytest.mark.parametrize(
    "case",
    ["a pattern that freezes nothing", "weights of another model", "an image that is none", "all images left out"],
)
def test_a_cell_that_is_refused_leaves_no_run(here, case, capfd):
    """As a pool starts it, and a job."""
    overrides, message = REFUSED[case]
    given = [*SMALL, *overrides, "seed=3"]
    sweep = freeze(trainings(given, several=True), given).write()
    (cell,) = sweep.cells
    (frozen,) = sweep.folder.glob("cells/*.json")
    assert lic_exp_main(["cell", str(frozen)]) == exit_codes.CONFIG
    assert message in capfd.readouterr().err
    assert not sweep.run(cell).folder.exists()


MORE_REFUSED = REFUSED | {"nothing to go on from": (["trainer.resume=must"], "trainer.resume=must: run ")}
BEGINNINGS = (
    *("a pattern that freezes nothing", "weights of another model", "a beginning that is not there"),
    *("a pattern that freezes all", "weights that are none", "a parent that is not there"),
    "rates of a factor that has none",
)
PLAN = ["seed=3,4", "plan=true"]
SEARCH = ["hydra/sweeper=search", "hydra.sweeper.trials=2", "optimizer.lr=interval(1e-4,1e-3)"]


@pytest.mark.parametrize(
    ("case", "several"),
    [
        *[(case, ["seed=3,4"]) for case in (*BEGINNINGS, "nothing to go on from")],
        *[(case, several) for case in BEGINNINGS[:3] for several in (PLAN, SEARCH)],
    ],
)
def test_what_cells_begin_from_is_refused_before_there_is_a_sweep(here, case, several, capfd):
    overrides, message = MORE_REFUSED[case]
    before = everything(here)
    assert main(["-m", *SMALL, *overrides, *several]) == exit_codes.CONFIG
    said = capfd.readouterr().err
    assert "nothing was started" in said
    assert message in said
    assert everything(here) == before
    assert [path.name for path in here.iterdir()] == ["given"]


def test_a_cell_among_many_whose_beginning_is_wrong_is_named(here, make_run, capfd):
    first = make_run(NOBODY, "failed", files=["best.pt"])
    given = [*SMALL, f"paths.runs={first.parent}", f"init_from=null,'{NOBODY}'", "model.freeze=[],['g_a.*'],['zzz*']"]
    assert main(["-m", *given]) == exit_codes.CONFIG
    said = [line for line in capfd.readouterr().err.splitlines() if "(cell " in line]
    assert len(said) == 2
    assert re.search(r"'zzz\*' matches no parameter.* \(cell init_from=null, model\.freeze=\[zzz\*\]\)$", said[1])
    assert re.search(rf"is failed, not done.* \(cell init_from={NOBODY}, model\.freeze=\[\]\)$", said[0])
    assert not (first.parent / FOLDER).exists()


def test_of_a_chain_all_is_judged_but_the_weights_that_are_to_come(here, tmp_path, monkeypatch):
    chain = "# @package _global_\nsweep: {product: {optimizer.lr: [0.01, 0.001]}, chain: {key: optimizer.lr}}\n"
    toy.write_package(tmp_path, "chained", {"__init__.py": "", "conf/experiment/chained.yaml": chain})
    monkeypatch.syspath_prepend(str(tmp_path))
    given = ["plugins=[chained]", "experiment=chained", *SMALL]
    assert len(sweep_request([*given, "model.freeze=['g_a.*']"], several=True).frozen.cells) == 2
    with pytest.raises(ConfigError, match=r"'zzz\*' matches no parameter.*\(cell optimizer\.lr=0\.01\)$"):
        sweep_request([*given, "model.freeze=['zzz*']"], several=True)


def test_of_cells_that_are_done_no_beginning_is_judged(here, monkeypatch):
    """Their parents may be gone by then."""
    given = [*SMALL, "model.freeze=['zzz*']", "seed=3,4"]
    for name, config in freeze(trainings(given, several=True), given).configs.items():
        write_run(here / "runs" / name, config, "done", best=1.0)
    assert len(sweep_request(given, several=True).frozen.cells) == 2


def test_a_plain_sweep_is_judged_without_torch(here):
    code = (
        "import sys; from lic_exp.sweeps.create import sweep_request;"
        f"sweep_request({[*SMALL, 'seed=3,4']!r}, several=True); assert 'torch' not in sys.modules"
    )
    assert finish(start("-c", code, folder=here)).stderr == ""


def test_judging_beginnings_leaves_random_numbers_alone(here):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    sweep_request([*SMALL, "model.freeze=['g_a.*']", "seed=3,4"], several=True)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_run_that_is_there_is_left_as_it_is(here, capfd):
    assert main([*SMALL, *FOLDERS]) == exit_codes.DONE
    (folder,) = here.glob("runs/*/")
    status = json.loads((folder / "status.json").read_text())
    (folder / "status.json").write_text(json.dumps(status | {"state": "preempted"}))
    before = everything(folder)
    assert main([*SMALL, *FOLDERS, "trainer.resume=never", "optimizer.lr_factors={zzz: 2.0}"]) == exit_codes.CONFIG
    assert main([*SMALL, *FOLDERS, "trainer.resume=must", "trainer.device=cuda:77"]) == exit_codes.CONFIG
    assert everything(folder) == before


@pytest.mark.parametrize("preflight", ["fail", "skip"])
def test_another_evaluation_that_is_refused_leaves_the_run_as_it_is(here, preflight, capfd):
    given = [*SMALL, *FOLDERS, f"data.preflight={preflight}"]
    assert main(given) == exit_codes.DONE
    (folder,) = here.glob("runs/*/")
    before = everything(folder)
    assert main([*given, "evaluation.enabled=true", "evaluation.data=given/spoilt"]) == exit_codes.CONFIG
    said = capfd.readouterr().err
    assert "bad.png is not an image" in said
    assert "nothing was started" in said
    assert everything(folder) == before


Usage = namedtuple("Usage", "total used free")


def test_a_disk_without_room_is_seen_before_there_is_a_folder(here, monkeypatch, capfd):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, 10))
    assert main([*SMALL]) == exit_codes.CONFIG
    assert "its checkpoints need" in capfd.readouterr().err
    assert not (here / "runs").exists()


def test_a_place_that_cannot_be_written_to_is_seen_before_anything_is_built(here, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != here)
    config = load_config([*SMALL])
    with pytest.raises(ConfigError, match=rf"^paths\.runs: .* cannot be made or written to: {here}: it cannot be wr"):
        judged(config, RunFolder(here / "runs" / config.signature), torch.device("cpu"))


@pytest.mark.parametrize(
    ("state", "files", "message"),
    [
        ("failed", ["best.pt"], r"is failed, not done: finish it first; or begin with model\.weights=.*best\.pt"),
        ("diverged", [], r"is diverged, not done: finish it first$"),
        ("done", ["step_00000001.pt"], r"has no checkpoints/best\.pt any more"),
    ],
)
def test_a_beginning_that_is_there_is_called_what_it_is(here, make_run, state, files, message, capfd):
    first = make_run(NOBODY, state, files=files)
    assert main([*SMALL, f"paths.runs={first.parent}", f"init_from='{NOBODY}'"]) == exit_codes.CONFIG
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "init_from=" in line]
    assert re.search(message, line)


def test_a_beginning_that_is_not_there_is_told_beside_those_that_are(here, make_run, capfd):
    first = make_run(NOBODY)
    assert main([*SMALL, f"paths.runs={first.parent}", "init_from='fedcba9876543210'"]) == exit_codes.CONFIG
    assert f"there is no run of this signature in {first.parent}. It has: {NOBODY}" in capfd.readouterr().err
    assert main([*SMALL, f"paths.runs={first.parent}", f"init_from='{NOBODY[:-1]}e'"]) == exit_codes.CONFIG
    assert f"Did you mean {NOBODY}?" in capfd.readouterr().err


def test_what_is_seen_of_images_outlives_a_refusal(here, monkeypatch, capfd):
    """Though there is no folder of runs yet to keep it in: the images are not all decoded again."""
    from lic_exp.data import preflight

    assert main([*SMALL, *FOLDERS, "data.train=[given/spoilt]"]) == exit_codes.CONFIG
    (here / "given" / "spoilt" / "bad.png").unlink()
    decoded, look_at = [], preflight._look_at
    monkeypatch.setattr(preflight, "_look_at", lambda image: decoded.append(image.name) or look_at(image))
    assert main([*SMALL, *FOLDERS, "data.train=[given/spoilt]"]) == exit_codes.DONE
    assert decoded == []
    (folder,) = here.glob("runs/*/")
    assert Run(folder).state == "done"


@pytest.mark.parametrize("given", [{}, {"g_z.weight": torch.zeros(2, 2)}])
def test_what_weights_that_fit_in_part_leave_out_is_said_where_it_is_seen(here, given, capfd):
    codec = build_codec(load_config([*SMALL, "seed=3"]))
    left = sorted(key for key in codec.state_dict() if key.startswith("g_a."))
    kept = {key: value for key, value in codec.state_dict().items() if key not in left}
    torch.save(kept | given, "given/part.pt")
    assert main([*SMALL, "model.weights=given/part.pt", "model.partial_weights=true"]) == exit_codes.DONE
    said = capfd.readouterr().err
    for name in [left[0], left[1], *given]:
        assert re.search(rf"^warning: .*given/part\.pt.*{re.escape(name)}", said, flags=re.MULTILINE)
    (folder,) = here.glob("runs/*/")
    assert left[0] in (folder / "run.log").read_text()


def test_of_many_findings_those_that_are_not_shown_are_kept_elsewhere(here, capfd):
    for index in range(30):
        (here / "given" / "spoilt" / f"bad{index}.png").write_text("I am a text.")
    assert main([*SMALL, *FOLDERS, "data.train=[given/spoilt]"]) == exit_codes.CONFIG
    said = capfd.readouterr().err
    assert "11 more are in " in said
    (file,) = [word for word in said.split() if word.endswith(".json.")]
    assert len(json.loads(Path(file[:-1]).read_text())) == 31
    assert [path.name for path in here.iterdir()] == ["given"]
