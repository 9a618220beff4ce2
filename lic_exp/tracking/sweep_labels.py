"""What sweeps call their cells: in lists of runs and in stores a run is called the same. Imports no torch."""

import logging
from pathlib import Path

from lic_exp.manifests import SweepRecord, read_sweep
from lic_exp.records import RecordError
from lic_exp.tracking.run_folder import SWEEPS, RunFolder

_log = logging.getLogger("lic_exp.tracking")


def labels_of_runs(runs: str | Path) -> dict[str, str]:
    """{signature: label} of the cells of all sweeps beside these runs; of several labels the latest made sweep's."""
    found = [record for path in Path(runs, SWEEPS).glob("*/manifest.json") if (record := _read(path)) is not None]
    found.sort(key=lambda record: record.get("made", ""))
    return {cell["signature"]: cell["label"] for record in found for cell in record["cells"] if cell["label"]}


def label_of_run(run: RunFolder) -> str | None:
    """What the sweep that a run was made for calls it; None where it was made for none, or nobody can tell."""
    sweep = run.status_if_whole().get("sweep")
    record = _read(run.root.parent / SWEEPS / sweep / "manifest.json") if isinstance(sweep, str) and sweep else None
    cells = record["cells"] if record else []
    return next((cell["label"] or None for cell in cells if cell["signature"] == run.signature), None)


def _read(path: Path) -> SweepRecord | None:
    """None where there is none, or a damaged one, of which the sweep's own commands tell."""
    try:
        return read_sweep(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except RecordError as error:
        _log.info("passed over: %s", error)
        return None
