"""Whether a run's checkpoints will fit on the disk."""

import shutil
from collections import namedtuple

import pytest
from training_parts import objective, stage, trainer

from lic_exp.config.errors import ConfigError
from lic_exp.runs.preflight import check_disk
from lic_exp.tracking.run_folder import RunFolder

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def run(tmp_path):
    made = RunFolder(tmp_path / "runs" / "0123456789abcdef")
    made.create()
    return made


@pytest.mark.parametrize("averaged", [False, True])
def test_a_disk_without_room_for_the_checkpoints_is_an_error(run, monkeypatch, averaged):
    of = objective()
    weights = sum(value.numel() * value.element_size() for value in of.state_dict().values())
    needed = 4 * weights * (4 if averaged else 3)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, needed))
    check_disk(run, of, averaged=averaged)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, needed - 1))
    with pytest.raises(ConfigError, match=r"its checkpoints need 0 MB and the disk has 0 MB left"):
        check_disk(run, of, averaged=averaged)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, 2 * needed - 1))
    check_disk(run, of, averaged=averaged, kept=3)
    with pytest.raises(ConfigError, match="its checkpoints need"):
        check_disk(run, of, averaged=averaged, kept=4)


def test_the_disk_check_is_of_the_size_that_checkpoints_have(tmp_path):
    """Adam's: one file may not be larger than what it reckons with by more than the names in it."""
    of = objective()
    run = trainer(tmp_path, of, [stage(of, 1)], ema_decay=0.9)
    run.fit()
    weights = sum(value.numel() * value.element_size() for value in of.state_dict().values())
    saved = run.checkpoints.steps()[0].stat().st_size
    assert saved > 4 * weights
    assert saved - 4 * weights < 40_000
