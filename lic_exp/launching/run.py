"""A run as people handle it: its folder, state, metrics and evaluation. Imports no torch."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lic_exp.launching.errors import ConfigError
from lic_exp.tracking.run_folder import STATES, RunFolder, is_run_folder, is_silent

if TYPE_CHECKING:
    import pandas as pd

SHOWN_STATES = (*STATES, "dead", "unreadable")


class Run:
    """A run folder, read on demand.

    folder: the run folder; its name is the signature.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.files = RunFolder(folder)

    @property
    def signature(self) -> str:
        return self.files.signature

    @property
    def status(self) -> dict[str, Any]:
        """status.json: state, step, attempt, host, heartbeat, reason. Raises ConfigError where it is damaged."""
        try:
            return self.files.status()
        except (ValueError, OSError) as error:
            raise ConfigError([f"{self.files.status_file} cannot be read: {error}"]) from error

    @property
    def state(self) -> str:
        """The state as people should see it: one of SHOWN_STATES.

        "dead" where status.json says running and nobody runs it, "created" where there is none yet.
        """
        try:
            return shown_state(self.status)
        except ConfigError:
            return "unreadable"

    @property
    def config(self) -> dict[str, Any]:
        """The validated config that the run was made from. Raises ConfigError where it cannot be read."""
        import yaml

        try:
            config = yaml.safe_load(self.files.config.read_text(encoding="utf-8"))
        except (ValueError, OSError, yaml.YAMLError) as error:
            raise ConfigError([f"{self.files.config} cannot be read: {error}"]) from error
        if not isinstance(config, dict):
            raise ConfigError([f"{self.files.config} holds no config"])
        return config

    @property
    def metrics(self) -> "pd.DataFrame":
        """One row per logged entry: step, epoch, time [Unix s] and the metrics, NaN where not logged."""
        import pandas as pd

        return pd.DataFrame(list(self.files.metrics()))

    @property
    def evaluation(self) -> "pd.DataFrame":
        """One row per evaluated image; empty where nothing was evaluated."""
        import pandas as pd

        path = self.files.eval / "images.csv"
        # An image may be called 0001 or NA, which pandas would take for a number and for nothing.
        return pd.read_csv(path, converters={"image": str}) if path.exists() else pd.DataFrame()

    def __repr__(self) -> str:
        state = self.state if self.files.status_file.exists() else "missing"
        return f"Run({str(self.folder)!r}, state={state!r})"


def shown_state(status: Mapping[str, Any]) -> str:
    """One of STATES, or "dead" for a running run whose process is gone or has been silent for too long."""
    state = str(status.get("state", "created"))
    return "dead" if state == "running" and not _alive(status) else state


def _alive(status: Mapping[str, Any]) -> bool:
    if is_silent(status):
        return False
    return status.get("host") != socket.gethostname() or _process_exists(int(status.get("pid", 0)))


def _process_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def run_folders(runs: str | Path) -> list[Path]:
    """The run folders in `runs`, by signature. Raises ConfigError where there is no such folder."""
    if not Path(runs).is_dir():
        raise ConfigError([f"there is no folder {runs}: name the one that holds the run folders with --runs"])
    return sorted(path.parent for path in Path(runs).glob("[!.]*/config.yaml"))


def find_run(name: str, runs: str = "runs") -> Run:
    """The run with this folder, signature, or unique beginning of a signature. Raises ConfigError otherwise."""
    path = Path(os.path.abspath(name))  # gives "." and ".." their names, and leaves symbolic links theirs
    if name and is_run_folder(path):
        return Run(path)
    known = run_folders(runs) if Path(runs).is_dir() else []
    found = [folder for folder in known if name and folder.name.startswith(name)]
    found = [folder for folder in found if folder.name == name] or found
    if len(found) == 1:
        return Run(found[0])
    if found:
        raise ConfigError([f"{name} could be any of {', '.join(path.name for path in found)}: give more digits"])
    listed = f"It has: {', '.join(folder.name for folder in known[:10])}" if known else "It has none."
    raise ConfigError([f"there is no run {name} in {runs}, nor a run folder of that path. {listed}"])
