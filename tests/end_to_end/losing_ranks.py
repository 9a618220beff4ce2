"""Run on two ranks, harm one of them, or who has started them, and finish the run."""

import json
import os
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import killing

from lic_exp import exit_codes
from lic_exp.runs.rank_place import STARTED_BY_US

SILENT_S = 4.0
ENDED_WITHIN_S = 30.0
"""From the harm to the end of every process: what is silent for so long, a look or two, and what ending takes."""

OVERRIDES = [*killing.ONE_STAGE, "trainer.devices=2", f"trainer.rank_timeout_s={SILENT_S:g}", "data.num_workers=1"]


@dataclass(frozen=True)
class Harm:
    """whom: a rank, or None for who has started them. state, said: of the run afterwards."""

    whom: int | None
    number: signal.Signals
    state: str
    said: str


GONE, SILENT = "is gone: it was killed, or died without a word", f"has given no sign of life for {SILENT_S:g} s"
HARMS = {
    "rank 1 is killed": Harm(1, signal.SIGKILL, "failed", GONE),
    "the starter is killed": Harm(None, signal.SIGKILL, "preempted", "the process that started the ranks is gone"),
    "rank 1 is halted": Harm(1, signal.SIGSTOP, "failed", SILENT),
    "rank 0 is killed": Harm(0, signal.SIGKILL, "failed", GONE),
    "rank 0 is halted": Harm(0, signal.SIGSTOP, "failed", SILENT),
    "rank 1 is asked to stop": Harm(1, signal.SIGUSR2, "preempted", "SIGUSR2: stopped after step"),
}


def trial(folder: Path, reference: Path, how: str, seed: int) -> str:
    """Harm at a random moment, see how the run ends, and finish it; says what happened.

    Raises AssertionError where something hangs, the state or reason is wrong, or the run does not end bit-equal.
    """
    harm, rng, runs = HARMS[how], random.Random(seed), folder / f"{how.replace(' ', '_')}{seed}"
    process = killing.start(runs, OVERRIDES)
    goal = rng.choice([1, 6, 11, 21])
    while killing.newest_step(runs) < goal:
        assert process.poll() is None, (folder / f"{runs.name}.log").read_text()[-3000:]
        time.sleep(0.01)
    time.sleep(rng.uniform(0, 0.3))
    ranks = ranks_of(process.pid)
    assert set(ranks) == {0, 1}
    os.kill(process.pid if harm.whom is None else ranks[harm.whom], harm.number)
    harmed = time.monotonic()
    code = process.wait(timeout=ENDED_WITHIN_S)
    while any(Path(f"/proc/{pid}").exists() for pid in ranks.values()):
        assert time.monotonic() - harmed < ENDED_WITHIN_S, "a rank lives on"
        time.sleep(0.05)
    took = time.monotonic() - harmed
    status = json.loads(next(runs.glob("*/status.json")).read_text())
    said = f"{how} at checkpoint {killing.newest_step(runs)}: {status['state']} after {took:.1f} s, exit code {code}"
    assert status["state"] == harm.state, (said, status["reason"])
    assert harm.said in status["reason"], (said, status["reason"])
    if harm.whom is not None:
        assert code == (exit_codes.PREEMPTED if harm.state == "preempted" else exit_codes.FAILED), said
    found = killing.differences(reference, killing.finish(runs, OVERRIDES))
    assert not found, f"{said}: differs in {found[:5]}"
    return said


def ranks_of(starter: int) -> dict[int, int]:
    """{rank: pid} of the ranks that this process has started."""
    found: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "environ").read_bytes().split(b"\0")
            command = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:  # gone meanwhile, or not ours
            continue
        told: dict[str, Any] = dict(word.decode().split("=", 1) for word in words if b"=" in word)
        if told.get(STARTED_BY_US) == str(starter) and b"rank" in command:
            found[int(told["RANK"])] = int(folder.name)
    return found
