"""What tests ask of sweeps that they have run."""

from pathlib import Path

from lic_exp.sweeps.folder import SweepFolder, find_sweep
from lic_exp.sweeps.states import states
from lic_exp.tracking.run_folder import RunFolder


def sweep_in(folder: Path) -> SweepFolder:
    """The newest sweep of the runs in `folder`."""
    return find_sweep(None, str(folder / "runs"))


def shown(sweep: SweepFolder) -> dict[str, str]:
    """{label: state}"""
    return {one.cell.label: one.state for one in states(sweep).values()}


def attempts(sweep: SweepFolder) -> dict[str, int]:
    """{label: how often its run was started}"""
    return {cell.label: RunFolder(sweep.runs / cell.signature).status().get("attempt", 0) for cell in sweep.cells}
