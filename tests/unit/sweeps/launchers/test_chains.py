"""Cells that start from others which never get there: no pool waits for them, and they are said to be blocked."""

import shutil
import time

import pytest
from pool_fakes import begun, options, run, shown

from lic_exp import exit_codes
from lic_exp.sweeps.control import cancel, retry, run_sweep
from lic_exp.sweeps.launchers.slurm.queue import Queue
from lic_exp.sweeps.states import exit_code, states

SHAPES = {
    "a chain of 3": {"b": "a", "c": "b"},
    "a chain of 4": {"b": "a", "c": "b", "d": "c"},
    "a tree": {"b": "a", "c": "a", "d": "b", "e": "b", "f": "c"},
}
ENDS = {
    "raise": "failed",
    "diverge": "diverged",
    "refuse": "refused",
    "kill": "killed",
    "stop": "preempted",
    "damage": "unreadable",
}


def patient():
    """Lets a pool look around two hundred times, which is too often."""
    looks = iter(range(200))
    return lambda: None if next(looks) < 199 else pytest.fail("the pool goes on")


def below(shape, name):
    """The cells that start from this one, be it by others."""
    found = [child for child, parent in shape.items() if parent == name]
    return [*found, *(one for child in found for one in below(shape, child))]


@pytest.mark.parametrize(
    ("shape", "where", "does"),
    [
        *(("a chain of 3", "a", does) for does in ENDS),
        *((shape, where, does) for shape in SHAPES for where in "ab" for does in ("raise", "stop")),
    ],
)
def test_a_pool_ends_wherever_a_chain_breaks(make, shape, where, does):
    """Listed from its end, too: states do not hang on the order."""
    parents = SHAPES[shape]
    cells = {name: (does if name == where else "done", {"parent": parents.get(name)}) for name in ["a", *parents]}
    sweep = make(**(cells if does in ("raise", "stop") else dict(reversed(cells.items()))))
    run(sweep, stop=patient(), slots=3)
    broken = below(parents, where)
    assert shown(sweep) == {
        name: ENDS[does] if name == where else "blocked" if name in broken else "done" for name in cells
    }
    reasons = {name: states(sweep)[name].reason for name in broken}
    for name, reason in reasons.items():
        parent = parents[name]
        assert reason == f"it starts from cell {parent}, which is {ENDS[does] if parent == where else 'blocked'}"
    expected = exit_codes.PREEMPTED if does == "stop" else exit_codes.FAILED
    assert exit_code(sweep, sweep.cells) == expected
    assert exit_code(sweep, [sweep.by_signature[name] for name in broken]) == expected


def chain(make, *does):
    """a, b from a, c from b and so on."""
    names = "abcd"[: len(does)]
    parents = [None, *names]
    return make(**{n: (what, {"parent": p}) for n, what, p in zip(names, does, parents, strict=False)})


@pytest.mark.parametrize("length", [2, 3, 4])
def test_a_cancelled_cell_blocks_those_after_it_until_it_is_retried(make, length):
    sweep = chain(make, *["done"] * length)
    sweep.manifest["launcher"], sweep.manifest["launched_by"] = options().kept(), "local"
    cancel(sweep, sweep.cells[:1])
    assert list(shown(sweep).values()) == ["cancelled", *["blocked"] * (length - 1)]
    run(sweep, stop=patient())
    assert exit_code(sweep, sweep.cells) == exit_codes.PREEMPTED
    assert retry(sweep, sweep.cells) == exit_codes.DONE
    assert set(shown(sweep).values()) == {"done"}


def test_what_a_pool_is_about_to_run_again_blocks_nothing(make):
    sweep = chain(make, "stop", "done", "done")
    sweep.cells.append(sweep.cells.pop(0))
    run(sweep)
    assert shown(sweep) == {"a": "preempted", "b": "blocked", "c": "blocked"}
    other = make(z="wait", **{n: ("done", {"parent": p}) for n, p in {"a": None, "b": "a", "c": "b"}.items()})
    seen = []

    def look():
        if begun(other, "z") and not seen:
            seen.append(shown(other))
            (other.runs / "go").touch()

    run(other, stop=look)
    assert seen == [{"z": "running", "a": "preempted", "b": "waiting", "c": "waiting"}]
    assert set(shown(other).values()) == {"done"}


@pytest.mark.parametrize("wanted", [["b"], ["b", "c"], ["c"]])
def test_a_parent_whose_folder_is_gone_and_that_nobody_asked_for_is_not_waited_for(make, wanted):
    sweep = chain(make, "done", "done", "done")
    run_sweep(sweep, options(), sweep.cells[:1])
    shutil.rmtree(sweep.runs / "a")
    run_sweep(sweep, options(), [sweep.by_signature[name] for name in wanted])
    assert shown(sweep) == {"a": "waiting", "b": "waiting", "c": "waiting"}
    assert not begun(sweep, "b")


def test_a_long_chain_is_no_deep_recursion(make):
    names = [f"c{place:04}" for place in range(400)]
    sweep = make(**{n: ("done", {"parent": p}) for n, p in zip(names, [None, *names], strict=False)})
    sweep.cancelled(sweep.cells[0]).touch()
    run(sweep, stop=patient())
    assert set(shown(sweep).values()) == {"cancelled", "blocked"}


@pytest.mark.parametrize("length", [3, 4])
@pytest.mark.parametrize(
    ("first", "how"),
    [("FAILED", "failed"), ("PREEMPTED", "preempted"), ("CANCELLED", "cancelled"), ("TIMEOUT", "time_limit")],
)
def test_jobs_that_slurm_gave_up_with_the_first_are_blocked(make, monkeypatch, length, first, how):
    sweep = chain(make, *["done"] * length)
    sweep.manifest["launched_by"] = "slurm"
    told = f"JobState={first} ExitCode=1:0"
    answers = {"squeue": "", "scontrol": told}
    for place, cell in enumerate(sweep.cells):
        sweep.record_job(cell, {"job": f"7_{place}", "submitted": time.time() - 60})
        state = first if place == 0 else "CANCELLED"
        answers["squeue"] += f"7_{place}|{state}|None||s\n"
    monkeypatch.setattr("lic_exp.sweeps.launchers.slurm.job_state.QUEUE", Queue())
    monkeypatch.setattr(
        "lic_exp.sweeps.launchers.slurm.queue.ask",
        lambda command, *_: told if command[-1] == "7_0" else answers.get(command[0], "") * (command[0] == "squeue"),
    )
    found = states(sweep)
    assert {name: one.state for name, one in found.items()} == {
        cell.signature: how if place == 0 else "blocked" for place, cell in enumerate(sweep.cells)
    }
