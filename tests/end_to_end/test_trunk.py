"""A trunk at a constant rate, branches with a decay that go on from its checkpoints, and what is no branch."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from commands import QUICK

from analysis.budgets import budget_speed_up
from analysis.runs import load_runs
from analysis.training_cost import trajectory
from lic_exp import exit_codes
from lic_exp.__main__ import main as command
from lic_exp.cli.launch import main
from lic_exp.runs.run import Run
from lic_exp.tracking.run_folder import step_checkpoints
from lic_exp.training.checkpoint import load_checkpoint

TRAINED = (
    *QUICK,
    "model=hyperprior_tiny",
    "optimizer=adam",
    "scheduler=stable_decay",
    "scheduler.warmup_steps=2",
    "spectral_reg=resolution",
    "spectral_reg.unit=step",
    "spectral_reg.length=3",
    "data.crop_size=128",
    "trainer.ema_decay=0.9",
    "trainer.log_every_steps=1",
    "trainer.validate_every_steps=2",
    "trainer.checkpoint_every_steps=2",
)
BRANCH = ("scheduler.decay_from=0.5", "trainer.max_steps=8")


def trained(folder, monkeypatch, *overrides):
    """The run of these overrides, trained in a folder."""
    folder.mkdir(exist_ok=True)
    monkeypatch.chdir(folder)
    before = {path.name for path in folder.glob("runs/*/")}
    assert main([*TRAINED, *overrides]) == exit_codes.DONE
    (made,) = [path for path in folder.glob("runs/*/") if path.name not in before]
    return Run(made)


def branched(trunk, monkeypatch, *overrides):
    monkeypatch.chdir(trunk.folder.parents[1])
    before = {path.name for path in trunk.folder.parent.iterdir()}
    assert command(["extend", trunk.signature, *overrides]) == exit_codes.DONE
    (made,) = [path for path in trunk.folder.parent.iterdir() if path.is_dir() and path.name not in before]
    return Run(made)


@pytest.fixture(scope="module")
def trunk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trunk")
    with pytest.MonkeyPatch.context() as patch:
        yield trained(folder, patch, "scheduler.decay_from=1", "trainer.keep_every_steps=4", "trainer.max_steps=14")


def test_a_branch_is_a_run_with_that_schedule_bit_by_bit(trunk, tmp_path, monkeypatch):
    branch = branched(trunk, monkeypatch, "parent_step=4", *BRANCH)
    whole = trained(tmp_path / "whole", monkeypatch, *BRANCH)
    ends = [load_checkpoint(run.files.checkpoints / "step_00000008.pt") for run in (branch, whole)]
    for part in ("codec", "ema"):
        assert ends[0][part].keys() == ends[1][part].keys()
        assert [key for key in ends[0][part] if not torch.equal(ends[0][part][key], ends[1][part][key])] == []
    assert ends[0]["pixels"] == ends[1]["pixels"]
    assert branch.config.parent == trunk.signature
    assert branch.config.parent_step == 4
    spent = [trajectory(load_runs(run.folder), run.signature, "val/rd_loss") for run in (branch, whole)]
    for unit in ("steps", "images", "macs"):
        assert spent[0][unit][-1] == spent[1][unit][-1], unit
    own = trajectory(load_runs(trunk.folder), trunk.signature, "val/rd_loss")["seconds"]
    assert spent[0]["seconds"][0] > own[1] > 0  # at the trunk's step 4


def test_a_branch_is_extended_from_its_own_end(trunk, monkeypatch, capfd):
    branch = branched(trunk, monkeypatch, "parent_step=8", "scheduler.decay_from=0.95", "trainer.max_steps=10")
    longer = branched(branch, monkeypatch, "trainer.max_steps=12")
    assert f"extending run {branch.signature} from step 10 to 12" in " ".join(capfd.readouterr().err.split())
    assert (longer.config.parent, longer.config.parent_step) == (branch.signature, None)
    assert main(json.loads(longer.files.environment.read_text())["overrides"]) == exit_codes.DONE
    assert f"run {longer.signature} is done already" in capfd.readouterr().err


def test_kept_checkpoints_stay_and_gc_leaves_them(trunk, monkeypatch, capfd):
    monkeypatch.chdir(trunk.folder.parents[1])
    kept = ["step_00000004.pt", "step_00000008.pt", "step_00000012.pt", "step_00000014.pt"]
    assert [path.name for path in step_checkpoints(trunk.files.checkpoints)] == kept
    assert command(["gc", "--yes"]) == exit_codes.DONE
    assert [path.name for path in step_checkpoints(trunk.files.checkpoints)] == kept


def test_a_trunk_without_its_end_is_not_extended_from_an_earlier_step(trunk, tmp_path, monkeypatch, capfd):
    shutil.copytree(trunk.folder, tmp_path / "runs" / trunk.signature)
    monkeypatch.chdir(tmp_path)
    assert command(["gc", "--no-keep-last", "--yes"]) == exit_codes.DONE
    assert command(["extend", trunk.signature, "trainer.max_steps=16"]) == exit_codes.CONFIG
    said = " ".join(capfd.readouterr().err.split())
    assert f"run {trunk.signature} has no checkpoint of its last step, 14, left to go on from" in said
    assert "it has checkpoints after step 4, 8, 12: parent_step begins at one of these" in said
    assert [path.name for path in Path("runs").iterdir() if path.is_dir()] == [trunk.signature]


@pytest.mark.parametrize(("unit", "decays"), [("share", (0.8, 0.8)), ("step", (4, 8))])
def test_budgets_are_made_of_branches(trunk, monkeypatch, unit, decays):
    """The trunk is not named, and yet its seconds are known."""
    schedules = [[f"scheduler.unit={unit}", f"scheduler.decay_from={start}"] for start in decays]
    arm = [
        branched(trunk, monkeypatch, f"parent_step={first}", f"trainer.max_steps={last}", *schedule)
        for (first, last), schedule in zip(((4, 6), (8, 10)), schedules, strict=True)
    ]
    found = budget_speed_up([run.folder for run in arm], [run.folder for run in arm])
    assert list(found.pairs["seed"]) == [0]
    assert "extends" not in str(found.pairs["outcome"][0])
    own = trajectory(load_runs(trunk.folder), trunk.signature, "val/rd_loss")["seconds"]
    runs = load_runs([run.folder for run in arm])
    for run, before in zip(arm, (own[1], own[3]), strict=True):  # the trunk's, at steps 4 and 8
        assert trajectory(runs, run.signature, "val/rd_loss")["seconds"][-1] > before > 0


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["parent_step=6", *BRANCH], "parent_step=6: run {trunk} has checkpoints after step 4, 8, 12, 14"),
        (["parent_step=8", *BRANCH], "trainer.max_steps=8: 8 steps, and parent_step=8 are done already"),
        (
            ["parent_step=8", "scheduler.decay_from=0.5", "trainer.max_steps=12"],
            "not the parent's from step 7 on",
        ),
        (["parent_step=4", "scheduler=plateau", "trainer.max_steps=8"], "not the parent's from step 0 on"),
        (["parent_step=4", *BRANCH, "optimizer.lr=0.5"], "an extension goes on as its parent was trained"),
    ],
)
def test_what_is_no_branch_is_refused(trunk, monkeypatch, capfd, overrides, message):
    monkeypatch.chdir(trunk.folder.parents[1])
    assert command(["extend", trunk.signature, *overrides]) == exit_codes.CONFIG
    assert message.format(trunk=trunk.signature) in " ".join(capfd.readouterr().err.split())


def test_a_step_without_a_trunk_and_checkpoints_that_are_never_written(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert main([*TRAINED, "trainer.max_steps=4", "parent_step=2", "trainer.keep_every_steps=3"]) == exit_codes.CONFIG
    said = " ".join(capfd.readouterr().err.split())
    assert "parent_step=2: says where in `parent` to begin, and that is null" in said
    assert "trainer.keep_every_steps=3 must be a multiple of trainer.checkpoint_every_steps=2" in said
