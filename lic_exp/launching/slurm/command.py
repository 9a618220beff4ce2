"""What a sweep's command does with `hydra/launcher=slurm`: submit, say so, and follow it where that was asked for."""

from collections.abc import Sequence

from lic_exp.launching import exit_codes
from lic_exp.launching.slurm.options import Slurm
from lic_exp.launching.slurm.submit import submit
from lic_exp.launching.sweeps.command import exit_code, say
from lic_exp.launching.sweeps.folder import Cell, Sweep


def run_on_slurm(sweep: Sweep, options: Slurm, cells: Sequence[Cell]) -> int:
    """Submit what neither waits nor runs there already. Returns 0, or with `wait` the sweep's exit code."""
    before = {cell.signature: sweep.job(cell) for cell in cells}
    jobs = submit(sweep, options, cells)
    count = sum(sweep.job(cell) != before[cell.signature] for cell in cells)
    if jobs:
        say(f"sweep {sweep.name}: {count} of {len(sweep.cells)} cells submitted as {_named(jobs)}")
    if count < len(cells):
        say(f"sweep {sweep.name}: {len(cells) - count} cells wait or run already, and were left alone")
    if not options.wait:
        say(f"python -m lic_exp status|logs|wait|cancel|retry {sweep.name} --runs {sweep.runs}")
        return exit_codes.DONE
    from lic_exp.launching.sweeps.control import wait

    wait(sweep)
    return exit_code(sweep, cells)


def _named(jobs: Sequence[str]) -> str:
    return f"job {jobs[0]}" if len(jobs) == 1 else f"{len(jobs)} jobs, {jobs[0]} to {jobs[-1]}"
