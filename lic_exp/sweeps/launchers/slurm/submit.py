"""From the cells of a sweep to arrays of SLURM jobs: in which order, together with which, waiting for what."""

import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from filelock import FileLock, Timeout

from lic_exp.config.errors import ConfigError
from lic_exp.saying import say
from lic_exp.sweeps.cell_config import flat_config
from lic_exp.sweeps.folder import Cell, SweepFolder
from lic_exp.sweeps.launcher import PREFIX
from lic_exp.sweeps.launchers.slurm.arrays import Array, adopt, array_folder, largest_array
from lic_exp.sweeps.launchers.slurm.options import SlurmOptions, contradictions
from lic_exp.sweeps.launchers.slurm.queue import QUEUE, JobView, SlurmError, ask
from lic_exp.sweeps.states import ACTIVE, FINISHED, states


def submit(sweep: SweepFolder, options: SlurmOptions, asked: Sequence[Cell]) -> list[str]:
    """Submit those of the cells that neither wait nor run already. Returns the numbers of the arrays and jobs.

    Raises ConfigError with sbatch's own words where it refuses one of them, and nothing is left submitted then; also
    where SLURM cannot be asked what it has already.
    """
    with _turn(sweep):
        jobs = QUEUE.jobs(since=time.time())
        if jobs is None:
            raise ConfigError([f"hydra/launcher=slurm: SLURM cannot be asked: {QUEUE.trouble}"])
        names: dict[str, list[str]] = {}
        for view in jobs.values():
            names.setdefault(view.name, []).append(view.job)
        adopt(sweep, names)
        now = states(sweep)
        left = [cell for cell in asked if now[cell.signature].state not in (*ACTIVE, *FINISHED)]
        _cancel_held(sweep, left, jobs)
        return _Submission(sweep, options, left).run() if left else []


def _cancel_held(sweep: SweepFolder, cells: Iterable[Cell], jobs: Mapping[str, JobView]) -> None:
    """Before the cells get new jobs, so that an administrator's release does not begin the old ones as well."""
    listed = (jobs.get(sweep.job(cell).get("job", "")) for cell in cells)
    if held := [view.job for view in listed if view is not None and view.held]:
        try:
            ask(["scancel", *held])
        except SlurmError as error:
            raise ConfigError([f"hydra/launcher=slurm: held jobs cannot be cancelled: {error}"]) from error


@contextmanager
def _turn(sweep: SweepFolder) -> Iterator[None]:
    """One submitter of a sweep at a time, and no local pool meanwhile."""
    try:
        with FileLock(sweep.folder / ".lock", timeout=60):
            yield
    except Timeout:
        pool = sweep.pool
        raise ConfigError(
            [f"sweep {sweep.name} is run by process {pool.get('pid')} on {pool.get('host')}: wait for it or cancel it"]
        ) from None


class _Submission:
    """One call of `submit`: what it has submitted so far, to be taken back together."""

    def __init__(self, sweep: SweepFolder, options: SlurmOptions, cells: Sequence[Cell]) -> None:
        self.sweep = sweep
        self.options = options
        self.cells = cells
        self._jobs: list[str] = []

    def run(self) -> list[str]:
        """Parents before their children, whose jobs wait for theirs. Returns the numbers."""
        self._check()
        array_folder(self.sweep).mkdir(exist_ok=True)
        try:
            for level in levels(self.cells):
                for array in self._arrays(level):
                    self._jobs.append(array.submit())
        except BaseException:
            self._take_back()
            raise
        return self._jobs

    @cached_property
    def _described(self) -> dict[str, tuple[dict[str, str], dict[str, str]]]:
        return {cell.signature: flat_config(self.sweep, cell) for cell in self.cells}

    def _check(self) -> None:
        """Raise ConfigError for what SLURM would not notice, before it is asked for anything."""
        folder = str(array_folder(self.sweep))
        if re.search(r"[%\n\\]", folder):
            raise ConfigError([f"paths.runs: SLURM cannot write its logs to {folder!r}: no %, \\ or newline"])
        known = {key for described in self._described.values() for keys in described for key in keys}
        unknown = [key for rule in self.options.rules for key in rule if key not in known]
        if unknown:
            raise ConfigError(
                f"{PREFIX}.resources: when: {key}: no cell has such an override or config key" for key in unknown
            )
        faults: dict[str, str] = {}
        for cell in self.cells:
            faults = (
                dict.fromkeys(contradictions(self._request(cell), self._described[cell.signature][1]), cell.label)
                | faults
            )
        if faults:
            raise ConfigError(f"{PREFIX}.{text} (cell {label})" for text, label in faults.items())

    def _request(self, cell: Cell) -> dict[str, Any]:
        return self.options.request(*self._described[cell.signature])

    def _arrays(self, level: Sequence[Cell]) -> Iterator[Array]:
        """Of cells that do not wait for each other: by what they ask for, as many as an array may have."""
        kinds: dict[tuple[str, str], list[Cell]] = {}
        for cell in level:
            request = json.dumps(self._request(cell), sort_keys=True)
            kinds.setdefault((self._dependency(cell), request), []).append(cell)
        most = largest_array()
        for (after, request), members in kinds.items():
            for begin in range(0, len(members), most):
                cells = members[begin : begin + most]
                yield Array(self.sweep, cells, json.loads(request), self.options, self._in_turn(after))

    def _in_turn(self, after: str) -> str:
        """Also after the array before it, where there are more cells than may run: arrays limit only themselves."""
        if len(self.cells) <= self.options.array_parallelism or not self._jobs:
            return after
        return ",".join(filter(None, [after, f"afterany:{self._jobs[-1]}"]))

    def _dependency(self, cell: Cell) -> str:
        """What the cell's job waits for; a parent or a screening that is done already needs no waiting."""
        if cell.parent is not None:
            parent = self.sweep.by_signature[cell.parent]
            return f"afterok:{self.sweep.job(parent)['job']}" if self._is_open(parent) else ""
        return self._after_screening if cell.group is not None and not cell.first else ""

    @cached_property
    def _after_screening(self) -> str:
        """Asked for once the screening is submitted, since it comes first."""
        firsts = [one for one in self.sweep.cells if one.first and self._is_open(one)]
        arrays = dict.fromkeys(self.sweep.job(one)["job"].partition("_")[0] for one in firsts)
        return f"afterany:{':'.join(arrays)}" if arrays else ""

    def _is_open(self, cell: Cell) -> bool:
        return bool(self.sweep.job(cell)) and self.sweep.run(cell).state != "done"

    def _take_back(self) -> None:
        """Cancel what this call has submitted, so that a refusal leaves nothing behind."""
        if not self._jobs:
            return
        for cell in self.sweep.cells:
            if self.sweep.job(cell).get("job", "").partition("_")[0] in self._jobs:
                self.sweep.forget_job(cell)
        try:
            ask(["scancel", *self._jobs])
        except SlurmError as error:
            say(f"jobs {', '.join(self._jobs)} could not be cancelled again: {error}")


def levels(cells: Iterable[Cell]) -> list[list[Cell]]:
    """Cells that wait for none of the others, then those that wait for these only, and so on; a screening first."""
    depth: dict[str, int] = {}
    found: dict[int, list[Cell]] = {}
    cells = list(cells)
    screening = any(cell.first for cell in cells)
    for cell in cells:  # in their order a chain's parents come first
        later = screening and cell.group is not None and not cell.first
        depth[cell.signature] = depth[cell.parent] + 1 if cell.parent in depth else int(later)
        found.setdefault(depth[cell.signature], []).append(cell)
    return [found[level] for level in sorted(found)]
