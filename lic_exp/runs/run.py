"""A run as people handle it: its folder, state, metrics and evaluation. Imports no torch."""

import io
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lic_exp.atomic import process_exists, write_json
from lic_exp.config.errors import ConfigError
from lic_exp.config.schema import RunConfig
from lic_exp.config.stored import stored_config
from lic_exp.csv_text import field_text
from lic_exp.naming import AmbiguousNameError, unique_match
from lic_exp.processes import is_here, lives
from lic_exp.records import NewerError, RecordError, read_file, read_record
from lic_exp.runs.code_hash import MadeBy, code_state
from lic_exp.runs.lock import is_locked
from lic_exp.text import blank_message, is_blank
from lic_exp.tracking.kinds import STATES, EvaluationResults
from lic_exp.tracking.run_folder import (
    DEAD_AFTER_S,
    EVALUATION_FILE,
    EVALUATION_KEY,
    RunFolder,
    is_run_folder,
    is_silent,
)
from lic_exp.tracking.tables import NUMBERS, PIXELS, number, parse_table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from lic_exp.runs.plots import FigureKind

SHOWN_STATES = (*STATES, "dead", "unreadable", "newer")

GROUPS = ("model", "spectral_reg", "optimizer", "scheduler", "criterion", "data", "evaluation", "trainer", "paths")
"""Nodes that every run's config has had; a file that lost its end lacks some."""

OF_THE_RUNS = "the name of the folder of runs"


class Run:
    """A run folder, read on demand.

    folder: the run folder; its name is the signature. evaluated_as: the name of the evaluation that is meant where the
    run has several (`lic_exp.config.signing.evaluation_name`); None: the run's own.
    """

    def __init__(self, folder: str | Path, *, evaluated_as: str | None = None) -> None:
        self.folder = Path(folder)
        self.files = RunFolder(folder)
        self.evaluated_as = evaluated_as

    @property
    def signature(self) -> str:
        return self.files.signature

    @property
    def status(self) -> dict[str, Any]:
        """status.json: state, step, attempt, host, heartbeat, reason.

        Raises ConfigError where it is damaged, or written by a newer version of this package.
        """
        try:
            return self.files.status()
        except RecordError as error:
            raise ConfigError([str(error)]) from error

    @property
    def state(self) -> str:
        """The state as people should see it: one of SHOWN_STATES.

        "dead" where status.json says running and nobody runs it, "created" where there is none yet, "newer" where
        another version wrote what this one does not know.
        """
        try:
            return shown_state(self.files.status(), self.files.status_file)
        except RecordError as error:
            return unread_state(error)

    @property
    def code(self) -> MadeBy:
        """Whether the code that made it is that of now: "current", "stale" or "unknown". Raises ConfigError."""
        return code_state(self.status)

    @property
    def config(self) -> RunConfig:
        """The config that the run was made from, in today's form. Raises ConfigError where it cannot be read."""
        return stored_config(self.plain_config)

    @property
    def plain_config(self) -> dict[str, Any]:
        """config.yaml as it stands there. Raises ConfigError where it cannot be read."""
        try:
            config = self.files.plain_config()
        except RecordError as error:
            raise ConfigError([str(error)]) from error
        if missing := [group for group in GROUPS if not isinstance(config.get(group), dict)]:
            raise ConfigError([f"{self.files.config} holds no whole config: it has no {' and no '.join(missing)}"])
        return config

    @property
    def metrics(self) -> "pd.DataFrame":
        """One row per logged entry: step, epoch, time [Unix s] and the metrics, NaN where not logged.

        A warning names the lines of metrics.jsonl that are damaged. Raises RecordError where it cannot be read.
        """
        import pandas as pd

        return pd.DataFrame(list(self.files.metrics()))

    def plot(self, kind: "FigureKind" = "training") -> "Figure":
        """A matplotlib figure of the run: its "training" (losses, tau, bits by latent), or its gradient "norms".

        The norms come with the steps that were skipped, and the one at which it diverged. Raises ValueError where
        nothing was logged that such a figure shows, RecordError where metrics.jsonl cannot be read.
        """
        from lic_exp.runs.plots import run_figure, series_of

        status = self.files.status_if_whole()
        name = status.get("name")
        title = name if isinstance(name, str) and name.strip() else self.signature
        return run_figure(series_of(self.files.metrics()), title, kind, status.get("skipped") or ())

    @property
    def evaluation(self) -> "pd.DataFrame":
        """One row per evaluated image; empty where nothing was evaluated. Raises ConfigError where it is damaged."""
        import pandas as pd

        name = self.evaluated_as
        path = (self.evaluation_folder(name) if name else self.files.eval) / "images.csv"
        # An image may be called 0001 or NA, which pandas would take for a number and for nothing.
        try:
            text = read_file(path).decode()
            parse_table(path.name, text)
        except FileNotFoundError:
            return pd.DataFrame()
        except ValueError as error:
            said = error if isinstance(error, RecordError) else RecordError(path, str(error))
            raise ConfigError([f"{said}; `python -m lic_exp eval {self.folder}` measures anew"]) from error
        kinds: dict[str, Callable[[str], Any]] = {"image": field_text, PIXELS: str, **dict.fromkeys(NUMBERS, number)}
        return pd.read_csv(io.StringIO(text), converters=kinds)

    def evaluation_folder(self, name: str) -> Path:
        """Where the evaluation of this name is or belongs: the run's own in `eval`, others in a folder of it.

        Where the run has none of its own, since none was asked for with its training, the first is in `eval`.
        """
        own = self.status.get(EVALUATION_KEY) or self._evaluation_in(self.files.eval)
        return self.files.eval if own in (None, name) else self.files.eval / name

    def is_evaluated(self, name: str) -> bool:
        """Whether the evaluation of this name is there."""
        return self._evaluation_in(self.evaluation_folder(name)) == name

    def disown_evaluations(self) -> None:
        """Of a training that begins anew: what was evaluated before is of other weights, and no longer counts."""
        for file in [self.files.eval / EVALUATION_FILE, *self.files.eval.glob(f"*/{EVALUATION_FILE}")]:
            with suppress(FileNotFoundError, RecordError):
                content = read_record(file, EvaluationResults)
                kept = {key: value for key, value in content.items() if key != EVALUATION_KEY}
                if kept.get("former") is not True:
                    write_json(file, kept | {"former": True})

    def _evaluation_in(self, folder: Path) -> str | None:
        """The name of the evaluation whose results are in a folder; None where there is none of a name."""
        try:
            return read_record(folder / EVALUATION_FILE, EvaluationResults).get("evaluation")
        except (FileNotFoundError, RecordError):
            return None

    def __repr__(self) -> str:
        state = self.state if self.files.status_file.exists() else "missing"
        code = ", code='stale'" if state == "done" and self.code == "stale" else ""
        return f"Run({str(self.folder)!r}, state={state!r}{code})"


def unread_state(error: RecordError) -> str:
    """The state to show of a run whose status.json gave this error."""
    return "newer" if isinstance(error, NewerError) else "unreadable"


def shown_state(status: Mapping[str, Any], file: Path | None = None) -> str:
    """One of STATES, or "dead" for a running run whose process is gone or has been silent for too long.

    file: that the status was read from.
    """
    state = str(status.get("state", "created"))
    return "dead" if state == "running" and not shows_life(status, file) else state


def shows_life(record: Mapping[str, Any], file: Path | None = None, *, after_s: float = DEAD_AFTER_S) -> bool:
    """Whether the process that renews the heartbeat of this record is there.

    On this machine its number and start tell, elsewhere how long it has been silent. file: that the record was read
    from, in a folder whose lock that process holds.
    """
    if is_here(record) and record.get("ticks") is not None:
        return lives(record)
    if is_silent(record, file, after_s=after_s, held=lambda: file is not None and is_locked(file.parent)):
        return False
    # Without its start, as earlier versions wrote it, another process that was given the same pid is taken for it.
    return not is_here(record) or process_exists(int(record.get("pid", 0)))


def run_folders(runs: str | Path) -> list[Path]:
    """The run folders in `runs`, by signature. Raises ConfigError where there is no such folder."""
    if is_blank(runs):
        raise ConfigError([blank_message(OF_THE_RUNS)])
    if not Path(runs).is_dir():
        raise ConfigError([f"there is no folder {runs}: name the one that holds the run folders with --runs"])
    return sorted(path.parent for path in Path(runs).glob("[!.]*/config.yaml"))


def find_run(name: str, runs: str = "runs") -> Run:
    """The run with this folder, signature, or unique beginning of a signature. Raises ConfigError otherwise."""
    for text, what in ((name, "the name of a run"), (runs, OF_THE_RUNS)):
        if is_blank(text):
            raise ConfigError([blank_message(what)])
    path = Path(os.path.abspath(name))  # gives "." and ".." their names, and leaves symbolic links theirs
    if is_run_folder(path):
        return Run(path)
    known = run_folders(runs) if Path(runs).is_dir() else []
    try:
        found = unique_match(name, (folder.name for folder in known))
    except AmbiguousNameError as error:
        raise ConfigError([f"{error}: give more digits"]) from error
    if found is not None:
        return Run(Path(runs, found))
    listed = f"It has: {', '.join(folder.name for folder in known[:10])}" if known else "It has none."
    raise ConfigError([f"there is no run {name} in {runs}, nor a run folder of that path. {listed}"])
