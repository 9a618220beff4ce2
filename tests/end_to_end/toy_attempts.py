"""A run of the toy codec of six steps, started in this process as the command would."""

from copy import deepcopy
from functools import cache
from pathlib import Path

import toy
from commands import QUICK
from training_parts import unequal

from lic_exp.cli.starting import start_composed
from lic_exp.config.compose import compose
from lic_exp.config.overrides import parse
from lic_exp.tracking.run_folder import RunFolder
from lic_exp.training.checkpoint import load_checkpoint

STEPS = 6
TOY = (
    *QUICK,
    f"plugins=[{toy.NAME}]",
    "model=toy",
    f"trainer.max_steps={STEPS}",
    "trainer.log_every_steps=1",
    "trainer.validate_every_steps=3",
    "trainer.checkpoint_every_steps=1",
)


@cache
def composed(overrides):
    return compose(parse([*TOY, *overrides]))


def go(*overrides):
    """What the command does once Hydra has handed over, in this process: its exit code."""
    return start_composed(deepcopy(composed(overrides)), list(overrides))


def only_run(runs="runs"):
    (config,) = Path(runs).glob("*/config.yaml")
    return RunFolder(config.parent)


def assert_same_weights(run, other):
    """The last and the best checkpoint of two runs are equal, bit for bit."""
    for name in (f"step_{STEPS:08d}.pt", "best.pt"):
        states = [load_checkpoint(each.checkpoints / name) for each in (run, other)]
        # /recorded counts the bytes of metrics.jsonl, wall-clock numbers included.
        assert [path for path in unequal(*states) if not path.startswith("/recorded")] == []
