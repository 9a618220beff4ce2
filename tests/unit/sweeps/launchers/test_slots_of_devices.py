"""Cells that train on several devices: what a slot of the pool is then, and which are refused."""

import json

import pytest
from pool_fakes import begun, options, run, shown

from lic_exp.config.errors import ConfigError
from lic_exp.sweeps.cell_config import Processes, processes_of
from lic_exp.sweeps.launchers.local.launcher import LAUNCHER
from lic_exp.sweeps.launchers.local.options import slots


def ask_for(sweep, **trainers):
    """Have cells ask for processes: a={"devices": 2}."""
    for name, trainer in trainers.items():
        path = sweep.frozen(sweep.by_signature[name])
        path.write_text(json.dumps(json.loads(path.read_text()) | {"given": [], "config": {"trainer": trainer}}))


def test_a_slot_is_as_many_gpus_as_a_cell_has_devices_at_most():
    assert slots(options(gpus=[0, 1, 2, 3]), devices=2) == ["0,1", "2,3"]
    assert slots(options(gpus=["GPU-a", "GPU-b"], slots=2), devices=2) == ["GPU-a,GPU-b"] * 2


@pytest.mark.parametrize(
    ("gpus", "words"), [([0], "they are too few: 1 are named"), ([0, 1, 2], "1 would be left over: 3 are named")]
)
def test_gpus_that_make_no_whole_slots_are_refused_by_name(gpus, words):
    with pytest.raises(ConfigError, match=r"hydra.launcher.gpus=.*needs 2 GPUs at a time \(trainer.devices\)") as error:
        slots(options(gpus=gpus), devices=2)
    assert words in str(error.value)


def test_every_cell_gets_a_whole_slot_and_each_of_its_processes_its_share_of_the_cores(make, monkeypatch):
    sweep = make(a="done", b="done", c="done")
    ask_for(sweep, a={"devices": 2}, b={"devices": 1})
    assert processes_of(sweep, sweep.cells) == {"a": Processes(2, 1), "b": Processes(1, 1), "c": Processes(1, 1)}
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("lic_exp.sweeps.launchers.local.options.usable_cores", lambda: 12)
    shares = []
    made = "lic_exp.sweeps.launchers.local.options.thread_environment"
    monkeypatch.setattr(made, lambda threads: shares.append(threads) or {})
    run(sweep, gpus=[4, 5, 6, 7])
    assert set(shown(sweep).values()) == {"done"}
    assert {gpu for name in "abc" for _, gpu in begun(sweep, name)} <= {"4,5", "6,7"}
    assert sorted(shares) == [3, 6, 6], "of 12 cores for two slots"


def test_a_pool_of_one_machine_refuses_cells_for_several(make):
    sweep = make(a="done", b="done")
    ask_for(sweep, b={"devices": 2, "nodes": 2})
    with pytest.raises(ConfigError, match=r"cell cell b has trainer.nodes=2, .* choose hydra/launcher=slurm"):
        LAUNCHER.run(sweep, options(), sweep.cells)
    assert shown(sweep) == {"a": "waiting", "b": "waiting"}
