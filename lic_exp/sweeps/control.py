"""Running the cells of a sweep, stopping, trying again and waiting, from any process that sees its folder."""

import os
import shlex
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal

from lic_exp import exit_codes
from lic_exp.config.errors import ConfigError
from lic_exp.config.loading import with_values
from lic_exp.config.schema import RunConfig
from lic_exp.config.validation import validate
from lic_exp.processes import ask_to_stop, is_here, lives
from lic_exp.records import RecordError, read_record
from lic_exp.runs.beginnings import Beginnings, origin_faults
from lic_exp.runs.removal import check_removable, set_aside
from lic_exp.runs.staleness import MEANINGS
from lic_exp.saying import say
from lic_exp.sweeps.folder import Cell, SweepFolder
from lic_exp.sweeps.kinds import FrozenCell
from lic_exp.sweeps.launcher import JobQueue, LauncherOptions, launcher_of, options_of
from lic_exp.sweeps.states import (
    ACTIVE,
    FINISHED,
    INTERRUPTED,
    TROUBLE,
    CellState,
    at_work,
    count_text,
    exit_code,
    governing_queue,
    is_outdated,
    pool_lives,
    states,
)
from lic_exp.tracking.mlflow_store import record_file

LOOK_EVERY_S = 0.5


def run_sweep(
    sweep: SweepFolder,
    options: LauncherOptions,
    wanted: Sequence[Cell] | None = None,
    *,
    stale: Literal["keep", "again", "refuse"] = "keep",
) -> int:
    """Run what is not done yet, or the `wanted` cells, wherever the options say. Returns the exit code.

    stale: what becomes of cells that are done, but not known to be of the code that there is now. Raises ConfigError
    where they are to be refused.
    """
    now = states(sweep)
    if text := see_to_outdated(sweep, stale, now):
        say(text)
    if stale == "again":
        now = states(sweep)  # without what was set aside
    chosen = list(sweep.cells if wanted is None else wanted)
    asked = [cell for cell in chosen if now[cell.signature].state not in FINISHED] if wanted is None else chosen
    if not asked:
        say(
            f"sweep {sweep.name}: all {len(sweep.cells)} cells are done; nothing was started.",
            *commands_for(sweep, now.values()),
        )
        return exit_code(sweep, chosen)
    for cell in asked:
        sweep.cancelled(cell).unlink(missing_ok=True)
    return launcher_of(options).run(sweep, options, asked)


def see_to_outdated(
    sweep: SweepFolder, stale: Literal["keep", "again", "refuse"], now: Mapping[str, CellState] | None = None
) -> str:
    """What to say of cells that are kept, though not known to be of the code that there is now.

    stale, and what it raises: as `run_sweep`; "again" sets them aside. now: the cells' states, where they are known.
    """
    now = states(sweep) if now is None else now
    outdated = [one.cell for one in now.values() if is_outdated(one)]
    if not outdated:
        return ""
    text = _outdated_text(sweep, now)
    if stale == "refuse":
        raise ConfigError([f"trainer.stale=refuse: {text}"])
    if stale == "again":
        _set_aside(sweep, outdated)
        return ""
    return (
        f"{text}, and kept. "
        f"python -m lic_exp retry --stale {sweep.name} --runs {sweep.runs} makes them anew, and keeps the former"
    )


def _outdated_text(sweep: SweepFolder, now: Mapping[str, CellState]) -> str:
    stale = sum(one.code == "stale" for one in now.values())
    unknown = sum(is_outdated(one) for one in now.values()) - stale
    parts = [f"{stale} cells are stale: {MEANINGS['stale']}"] if stale else []
    parts += [f"of {unknown} cells that are done nothing says which code made them"] if unknown else []
    return f"sweep {sweep.name}: {'; '.join(parts)}"


def cancel(sweep: SweepFolder, cells: Sequence[Cell]) -> list[str]:
    """Mark these cells, so that no pool starts them, and ask those that run to stop. Returns a line on each."""
    now = states(sweep)
    lines: list[str] = []
    jobs: dict[str, tuple[JobQueue, dict[str, Cell]]] = {}
    for cell in cells:
        state = now[cell.signature]
        if state.state in FINISHED:
            continue
        sweep.cancelled(cell).touch()
        queue = governing_queue(state.job, sweep.attempt(cell)) if state.state in ACTIVE else None
        if queue is not None:
            jobs.setdefault(state.job["launcher"], (queue, {}))[1][state.job["job"]] = cell
        else:
            lines.append(f"{cell.label}: {_stopped(sweep, state)}")
    for queue, of_it in jobs.values():
        lines += queue.cancel(of_it)
    return lines or [f"sweep {sweep.name}: nothing is left to cancel"]


def _stopped(sweep: SweepFolder, state: CellState) -> str:
    """What becomes of a cancelled cell that no queue has, once its process has been asked to stop."""
    record = sweep.attempt(state.cell)
    if state.state not in ACTIVE:
        return "will not start"
    if lives(record):
        ask_to_stop(record)
        return "asked to stop; it writes its checkpoint first"
    if record and not is_here(record) and pool_lives(sweep):
        return f"its pool on {sweep.pool.get('host')} is asked to stop it"
    return "runs outside of this sweep, and goes on"


def retry(sweep: SweepFolder, cells: Sequence[Cell], *, stale: bool = False, **changes: Any) -> int:
    """Run again what is in trouble or was stopped, and what waits for it. Returns the exit code.

    stale: also what other code has made, or nobody knows which, from nothing. changes: options of the launcher
    that are to be others.
    """
    now = states(sweep)
    again = [cell for cell in cells if now[cell.signature].state in (*TROUBLE, *INTERRUPTED)]
    options = options_of(sweep, changes) if again or stale else None
    if stale:
        outdated = [
            cell for cell in cells if is_outdated(now[cell.signature]) and now[cell.signature].committed is None
        ]
        if committed := sum(
            is_outdated(one) and one.committed is not None for one in (now[cell.signature] for cell in cells)
        ):
            say(
                f"sweep {sweep.name}: {committed} cells of a results folder stay as they are; "
                "the sweep's command with trainer.stale=again trains them here"
            )
        _check_beginnings(sweep, outdated)
        _set_aside(sweep, outdated)
        again += outdated
    chosen = {cell.signature for cell in again}
    for cell in sweep.cells:  # in their order a chain's parents come first
        if now[cell.signature].state == "blocked" and cell.parent in chosen:
            chosen.add(cell.signature)
            again.append(cell)
    if not again or options is None:
        say(f"sweep {sweep.name}: nothing to retry: {count_text(now.values())}")
        return exit_code(sweep, cells)
    return run_sweep(sweep, options, again)


def _check_beginnings(sweep: SweepFolder, cells: Sequence[Cell]) -> None:
    """Raise ConfigError where these cells could not be made anew, which is to be known before they are set aside.

    Files, that is images and weights, are found from where their processes start, with packages: from elsewhere, and of
    a sweep with a copy of the code, only the other runs that they begin from are judged.
    """
    errors, anew, beginnings = list[str](), {cell.signature for cell in cells}, Beginnings()
    from_there = sweep.manifest.get("folder") == os.getcwd() and not sweep.manifest.get("snapshot")
    for cell in cells:
        try:
            frozen = read_record(sweep.frozen(cell), FrozenCell)
        except (FileNotFoundError, RecordError) as error:
            errors.append(f"{error}; the sweep's command writes it anew (cell {cell.label})")
            continue
        with suppress(ConfigError):  # of a package that is not found from here
            config = validate(frozen["config"], rules_too=False)
            begun = with_values(config, {"paths.runs": str(sweep.runs), "trainer.resume": "never"})
            if config.trainer.resume == "must":
                found = ["trainer.resume=must: nothing can be made anew so"]
            elif from_there:
                found = _changed(begun, cell) or beginnings.faults(
                    begun, begins_from_another=cell.parent in anew, anew=True
                )
            else:
                found = [] if cell.parent in anew else origin_faults(begun, sweep.run(cell).files)
            errors += [f"{text} (cell {cell.label})" for text in found]
    if errors:
        raise ConfigError(errors)


def _changed(config: RunConfig, cell: Cell) -> list[str]:
    """What keeps a cell's config from making the very run: images or weights that are gone, or others."""
    try:
        now = config.signature
    except ConfigError as error:
        return error.messages
    made_of = "its images or weights are no longer those that it was made of: its command makes another run of these"
    return [] if now == cell.signature else [f"run {cell.signature}: {made_of}"]


def _set_aside(sweep: SweepFolder, cells: Sequence[Cell]) -> None:
    for cell in cells:
        check_removable(sweep.run(cell))
    for cell in cells:
        kept = set_aside(sweep.run(cell).folder)
        say(f"{cell.label}: not made by the code that there is now, and made anew; what there was is in {kept}")


def wait(sweep: SweepFolder, timeout_s: float | None = None) -> int:
    """Return once no pool and no cell of the sweep is at work. Returns its exit code, 75 after `timeout_s`."""
    begun = time.monotonic()
    while at_work(sweep):
        if timeout_s is not None and time.monotonic() - begun > timeout_s:
            say(f"sweep {sweep.name}: not done yet: {count_text(states(sweep).values())}")
            return exit_codes.PREEMPTED
        time.sleep(LOOK_EVERY_S)
    tell_end(sweep)
    return exit_code(sweep, sweep.cells)


def tell_end(sweep: SweepFolder) -> None:
    """Say what came of a sweep that nobody runs any more, and what shows it; of a search its end says that."""
    now = list(states(sweep).values())
    _show_in_stores(sweep, now)
    say(f"sweep {sweep.name}: {count_text(now)}", *([] if "trials" in sweep.manifest else commands_for(sweep, now)))


def _show_in_stores(sweep: SweepFolder, now: Iterable[CellState]) -> None:
    """Have the stores of its runs show also what no run could: cells that ended before they had a run folder."""
    if all(sweep.run(one.cell).files.status_file.exists() for one in now if one.state in TROUBLE):
        return
    there = [run for run in map(sweep.run, sweep.cells) if record_file(run.files).is_file()]
    if there:
        from lic_exp.runs.syncing import sync_run  # torch

        for outcome in sync_run(there[0]):
            if outcome.away:
                say(f"{outcome.store}: {outcome.away}; python -m lic_exp sync sends it later")


def commands_for(sweep: SweepFolder, now: Iterable[CellState]) -> list[str]:
    """The commands that show its cells and, where there are any, what they came to, to be copied."""
    place = f"--runs {shlex.quote(str(sweep.runs))}"
    lines = [f"cells:  python -m lic_exp status {sweep.name} {place}"]
    if not any(one.state in FINISHED for one in now):
        return lines
    kind = "ablation" if sweep.manifest.get("table") else "sweep"
    lines.append(f"table:  python -m analysis {kind} {sweep.name} {place}")
    if any(cell.evaluation for cell in sweep.cells):
        lines.append(f"curves: python -m analysis rd {sweep.name} {place} --out {sweep.name}.png")
    return [*lines, f"report: python -m analysis report {sweep.name} {place}"]
