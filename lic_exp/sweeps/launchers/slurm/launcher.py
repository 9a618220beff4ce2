"""The launcher that `hydra/launcher=slurm` names."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from lic_exp import exit_codes
from lic_exp.saying import say
from lic_exp.sweeps.control import wait
from lic_exp.sweeps.folder import Cell, CellRecord, SweepFolder
from lic_exp.sweeps.launcher import JobQueue, Launcher
from lic_exp.sweeps.launchers.slurm.arrays import job_log
from lic_exp.sweeps.launchers.slurm.job_state import state_of_job
from lic_exp.sweeps.launchers.slurm.options import SlurmOptions
from lic_exp.sweeps.launchers.slurm.queue import QUEUE, SlurmError, ask
from lic_exp.sweeps.launchers.slurm.submit import submit
from lic_exp.sweeps.states import exit_code

JOBS_AT_ONCE = 500


class SlurmJobs(JobQueue):
    """What is known of cells' jobs, and how they are ended."""

    title = "SLURM"

    @property
    def trouble(self) -> str:
        return QUEUE.trouble

    def state(
        self, sweep: SweepFolder, cell: Cell, job: CellRecord, attempt: CellRecord, status: CellRecord
    ) -> tuple[str, str]:
        return state_of_job(sweep, cell, job, attempt, status)

    def cancel(self, jobs: Mapping[str, Cell]) -> list[str]:
        names = list(jobs)
        lines = []
        for begin in range(0, len(names), JOBS_AT_ONCE):
            some = names[begin : begin + JOBS_AT_ONCE]
            try:
                ask(["scancel", *some])
            except SlurmError as error:
                lines += [f"{jobs[name].label}: {error}; it will not start again" for name in some]
            else:
                ended = "is cancelled, after its checkpoint if it runs"
                lines += [f"{jobs[name].label}: job {name} {ended}" for name in some]
        return lines

    def logs(self, sweep: SweepFolder, job: str) -> list[Path]:
        return [job_log(sweep, job)]


class SlurmLauncher(Launcher[SlurmOptions]):
    """Cells as jobs of a cluster: submitted, reported, and followed where that was asked for."""

    options = SlurmOptions
    queue = SlurmJobs()

    def run(self, sweep: SweepFolder, options: SlurmOptions, cells: Sequence[Cell]) -> int:
        before = {cell.signature: sweep.job(cell) for cell in cells}
        jobs = submit(sweep, options, cells)
        count = sum(sweep.job(cell) != before[cell.signature] for cell in cells)
        if jobs:
            named = f"job {jobs[0]}" if len(jobs) == 1 else f"{len(jobs)} jobs, {jobs[0]} to {jobs[-1]}"
            say(f"sweep {sweep.name}: {count} of {len(sweep.cells)} cells submitted as {named}")
        if count < len(cells):
            say(f"sweep {sweep.name}: {len(cells) - count} cells wait or run already, and were left alone")
        if not options.wait:
            say(f"python -m lic_exp status|logs|wait|cancel|retry {sweep.name} --runs {sweep.runs}")
            return exit_codes.DONE
        wait(sweep)
        return exit_code(sweep, cells)


LAUNCHER = SlurmLauncher()
