"""`rm`: delete runs."""

import argparse

from lic_exp import exit_codes
from lic_exp.cli.arguments import add_runs, add_yes, confirmed
from lic_exp.runs.listing import bytes_in, children
from lic_exp.runs.removal import check_removable, remove_run
from lic_exp.runs.run import Run, find_run
from lic_exp.saying import show
from lic_exp.sweeps.folder import Cell, SweepFolder, sweeps
from lic_exp.text import size_text

SUMMARY = "delete runs"
DESCRIPTION = "Delete run folders. A run that is being trained is refused. What a tracker stored stays there."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", nargs="+", help="run folder, signature, or the beginning of one")
    add_runs(parser)
    add_yes(parser)


def run(options: argparse.Namespace) -> int:
    runs = list({run.folder: run for run in (find_run(name, options.runs) for name in options.run)}.values())
    for run in runs:
        check_removable(run)
    sizes = {run.signature: bytes_in(run.folder) for run in runs}
    leaving = {run.signature for run in runs}
    for run in runs:
        for child, does in children(run):
            if child.signature not in leaving:
                said = f"run {child.signature} ({child.state}) {does} {run.signature}; {_loss(child.state)}"
                show(f"warning: {said}")
        for cell, sweep in _waiting(run):
            said = f"cell {cell.label} of sweep {sweep.name} has not begun, and starts from the weights of"
            show(f"warning: {said} {run.signature}; the sweep's command would train that anew")
    for run in runs:
        show(f"{run.folder}  {run.state}  {size_text(sizes[run.signature])}")
    if not confirmed(f"remove {_count(len(runs))}, {size_text(sum(sizes.values()))}?", yes=options.yes):
        show("nothing was removed")
        return exit_codes.DONE
    for run in runs:
        remove_run(run.folder)
        show(f"removed {run.folder}")
    return exit_codes.DONE


def _waiting(run: Run) -> list[tuple[Cell, SweepFolder]]:
    """The cells of sweeps beside this run that start from it, and have no run yet."""
    whole = [sweep for sweep in sweeps(run.folder.parent) if not sweep.problem]
    cells = ((cell, sweep) for sweep in whole for cell in sweep.cells if cell.parent == run.signature)
    return [(cell, sweep) for cell, sweep in cells if not sweep.run(cell).folder.exists()]


def _loss(state: str) -> str:
    return "it is finished and keeps its own files" if state == "done" else "it could not be started over"


def _count(runs: int) -> str:
    return "1 run" if runs == 1 else f"{runs} runs"
