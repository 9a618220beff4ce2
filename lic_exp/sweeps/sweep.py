"""A sweep in Python: what the commands do, for notebooks."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lic_exp.runs.run import Run
from lic_exp.sweeps import control
from lic_exp.sweeps.display import as_records
from lic_exp.sweeps.folder import SweepFolder
from lic_exp.sweeps.states import states

if TYPE_CHECKING:
    import pandas as pd


class Sweep:
    """A sweep's folder, read on demand. cells: signatures or labels; none stands for all of them."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    @property
    def sweep(self) -> SweepFolder:
        """The folder as it is now."""
        return SweepFolder(self.folder)

    @property
    def runs(self) -> dict[str, Run]:
        """{label: run} of the cells that have begun."""
        found = ((cell.label, self.sweep.run(cell)) for cell in self.sweep.cells)
        return {label: run for label, run in found if run.files.status_file.exists()}

    def status(self) -> "pd.DataFrame":
        """One row per cell: label, the values that tell it from the others, state, step, rd_loss, reason and more."""
        import pandas as pd

        records = as_records(self.sweep, states(self.sweep).values())
        return pd.DataFrame([{**record.pop("role"), **record} for record in records])

    def wait(self, timeout_s: float | None = None) -> int:
        """Return once nothing of it runs any more, or after `timeout_s`, with its exit code."""
        return control.wait(self.sweep, timeout_s)

    def cancel(self, cells: Sequence[str] = ()) -> list[str]:
        """Stop cells, which keep their checkpoints, and start no more of them; a line on each."""
        return control.cancel(self.sweep, self.sweep.find(cells))

    def retry(self, cells: Sequence[str] = (), *, stale: bool = False, **launcher: Any) -> int:
        """Run again what failed, was killed or stopped. Returns the exit code. launcher: as in `lic_exp.sweep`."""
        return control.retry(self.sweep, self.sweep.find(cells), stale=stale, **launcher)

    def __repr__(self) -> str:
        return f"Sweep({str(self.folder)!r})"
