"""Whether a run's checkpoints will fit on the disk."""

import shutil
from collections import namedtuple

import pytest
from commands import QUICK
from training_parts import objective, stage, trainer

from lic_exp.config.errors import ConfigError
from lic_exp.config.loading import load_config
from lic_exp.runs.preflight import check_disk
from lic_exp.tracking.run_folder import RunFolder

Usage = namedtuple("Usage", "total used free")


def configured(*overrides):
    """A config of a hundred steps."""
    length = ("trainer.max_steps=100", "trainer.checkpoint_every_steps=10")
    return load_config([*QUICK, "model=factorized_tiny", *length, *overrides])


@pytest.fixture
def run(tmp_path):
    made = RunFolder(tmp_path / "runs" / "0123456789abcdef")
    made.create()
    return made


@pytest.mark.parametrize("averaged", [False, True])
def test_a_disk_without_room_for_the_checkpoints_is_an_error(run, monkeypatch, averaged):
    of = objective()
    weights = sum(value.numel() * value.element_size() for value in of.state_dict().values())
    config = configured(f"trainer.ema_decay={0.9 if averaged else 'null'}")
    needed = 4 * weights * (4 if averaged else 3)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, needed))
    check_disk(config, run, of)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, needed - 1))
    with pytest.raises(ConfigError, match=r"its checkpoints need 0 MB and the disk has 0 MB left"):
        check_disk(config, run, of)


@pytest.mark.parametrize(
    ("steps", "best", "overrides", "files"),
    [
        ([], False, [], 4),
        ([], False, ["trainer.keep_every_steps=20"], 4 + 5),
        ([30, 40], True, ["trainer.keep_every_steps=20"], 4 - 2 + 3),  # 30 goes, 40 stays
        ([40, 50, 60], True, ["trainer.keep_every_steps=20"], 4 - 2 + 2),
        ([80, 90], True, [], 4 - 3),
        ([90], False, [], 4 - 1),
        ([30, 40], True, ["trainer.keep_every_steps=20", "trainer.resume=never"], 4 + 5),
    ],
)
def test_only_what_is_yet_to_be_written_needs_room(run, monkeypatch, steps, best, overrides, files):
    """Of the size that the run's checkpoints have, where there is one."""
    of, config = objective(), configured(*overrides)
    for step in steps:
        (run.checkpoints / f"step_{step:08d}.pt").write_bytes(b"x" * 500)
    if best:
        (run.checkpoints / "best.pt").write_bytes(b"x" * 100)
    weights = sum(value.numel() * value.element_size() for value in of.state_dict().values())
    anew = not steps or "trainer.resume=never" in overrides
    assert_needed(monkeypatch, config, run, of, files * (3 * weights if anew else 500))


@pytest.mark.parametrize(("begun", "kept"), [("40", 3), ("null", 1)])
def test_a_branch_needs_no_room_for_the_steps_of_its_trunk(run, tmp_path, monkeypatch, begun, kept):
    trunk = RunFolder(tmp_path / "runs" / "aaaa")
    trunk.create()
    trunk.update_status(state="done", step=80)
    for step in (20, 40, 80):
        (trunk.checkpoints / f"step_{step:08d}.pt").write_bytes(b"x" * 700)
    config = configured("parent='aaaa'", f"parent_step={begun}", "trainer.keep_every_steps=20")
    assert_needed(monkeypatch, config, run, objective(), (4 + kept) * 700)


def assert_needed(monkeypatch, config, run, of, needed):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, needed))
    check_disk(config, run, of)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, needed - 1))
    with pytest.raises(ConfigError, match="its checkpoints need"):
        check_disk(config, run, of)


def test_the_disk_check_is_of_the_size_that_checkpoints_have(tmp_path):
    """Adam's: one file may not be larger than what it reckons with by more than the names in it."""
    of = objective()
    run = trainer(tmp_path, of, [stage(of, 1)], ema_decay=0.9)
    run.fit()
    weights = sum(value.numel() * value.element_size() for value in of.state_dict().values())
    saved = run.checkpoints.steps()[0].stat().st_size
    assert saved > 4 * weights
    assert saved - 4 * weights < 40_000
