"""A run as people handle it: its folder, state, metrics and evaluation. Imports no torch."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lic_exp.launching.errors import ConfigError
from lic_exp.tracking.run_folder import RunFolder

if TYPE_CHECKING:
    import pandas as pd


class Run:
    """A run folder, read on demand.

    folder: the run folder; its name is the signature.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._files = RunFolder(folder)

    @property
    def signature(self) -> str:
        return self._files.signature

    @property
    def status(self) -> dict[str, Any]:
        """status.json: state, step, attempt, host, heartbeat, reason."""
        return self._files.status()

    @property
    def config(self) -> dict[str, Any]:
        """The validated config that the run was made from."""
        import yaml

        config: dict[str, Any] = yaml.safe_load(self._files.config.read_text())
        return config

    @property
    def metrics(self) -> "pd.DataFrame":
        """One row per logged entry: step, epoch, time [Unix s] and the metrics, NaN where not logged."""
        import pandas as pd

        return pd.DataFrame(list(self._files.metrics()))

    @property
    def evaluation(self) -> "pd.DataFrame":
        """One row per evaluated image; empty where nothing was evaluated."""
        import pandas as pd

        path = self._files.eval / "images.csv"
        # An image may be called 0001 or NA, which pandas would take for a number and for nothing.
        return pd.read_csv(path, converters={"image": str}) if path.exists() else pd.DataFrame()

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}, state={self.status.get('state', 'missing')!r})"


def find_run(name: str, runs: str = "runs") -> Run:
    """The run with this folder, signature, or unique beginning of a signature. Raises ConfigError otherwise."""
    if (Path(name) / "config.yaml").is_file():
        return Run(name)
    found = sorted(path.parent for path in Path(runs).glob(f"{name}*/config.yaml"))
    if len(found) == 1:
        return Run(found[0])
    known = sorted(path.parent.name for path in Path(runs).glob("*/config.yaml"))
    if found:
        raise ConfigError([f"{name} could be any of {', '.join(path.name for path in found)}: give more digits"])
    listed = f"It has: {', '.join(known[:10])}" if known else "It has none."
    raise ConfigError([f"there is no run {name} in {runs}, nor a run folder of that path. {listed}"])
