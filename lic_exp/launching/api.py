"""The platform from Python: the same names, checks and results as on the command line."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lic_exp.launching.compose import compose
from lic_exp.launching.errors import ConfigError
from lic_exp.launching.listing import RunSummary, summaries
from lic_exp.launching.overrides import options, parse, quoted
from lic_exp.launching.run import Run
from lic_exp.launching.studies import trainings
from lic_exp.launching.validation import validate

if TYPE_CHECKING:
    import pandas as pd

    from lic_exp.evaluation.complexity import Complexity
    from lic_exp.launching.sweeps.handle import SweepHandle
    from lic_exp.models.base import Codec
    from lic_exp.spectral_reg.base import SpectralRegularizer


def list_models(plugins: Sequence[str] = ()) -> list[str]:
    """The names that `create_model` and `model=` accept, those of `plugins` included."""
    return options("model", plugins)


def list_regularizers(plugins: Sequence[str] = ()) -> list[str]:
    """The names that `create_regularizer` and `spectral_reg=` accept, those of `plugins` included."""
    return options("spectral_reg", plugins)


def create_model(name: str, *, plugins: Sequence[str] = (), seed: int = 0, **overrides: Any) -> "Codec":
    """The codec that `model=name` with these options builds, weights included; in train mode, on the CPU.

    Raises ConfigError, with the nearest valid names, for a name or option that there is not.
    """
    config = _chosen("model", name, plugins, overrides) | {"seed": seed}
    from lic_exp.launching.build import build_codec

    return build_codec(config)


def complexity(
    name: str, *, size: tuple[int, int] | None = None, plugins: Sequence[str] = (), **overrides: Any
) -> "Complexity":
    """Parameters and MACs, part by part, of the codec that `model=name` with these options builds.

    size: (height, width) of the image that is counted on; None: 256x256, or the next size that the codec takes. Of a
    codec that is there already: `lic_exp.evaluation.complexity.complexity`. Raises ConfigError, as `create_model`.
    """
    from lic_exp.launching.complexity import complexity_of

    return complexity_of(_chosen("model", name, plugins, overrides), size)


def create_regularizer(name: str, *, plugins: Sequence[str] = (), **overrides: Any) -> "SpectralRegularizer | None":
    """The regularizer that `spectral_reg=name` with these options builds; None for "none". Raises ConfigError."""
    config = _chosen("spectral_reg", name, plugins, overrides)
    from lic_exp.launching.build import component

    regularizer: SpectralRegularizer | None = component(config, "spectral_reg")
    return regularizer


def list_runs(runs: str | Path = "runs") -> "pd.DataFrame":
    """One row per run folder in `runs`, the latest started last: the columns are those of `RunSummary`.

    Raises ConfigError where there is no such folder.
    """
    import pandas as pd

    columns = [field.name for field in fields(RunSummary)]
    return pd.DataFrame([asdict(run) for run in summaries(runs)], columns=columns)


def run(overrides: Sequence[str] = (), *, quiet: bool = False) -> Run:
    """Train and evaluate as `python launch.py OVERRIDES` does, or find that run done.

    Raises ConfigError before anything starts where an override is wrong, and what the run itself raises.
    """
    if parse(list(overrides)).sweeping:
        raise ConfigError(["these overrides describe several runs; lic_exp.run makes one"])
    (training,) = trainings(list(overrides), several=False)
    config = validate(compose(training.overrides))
    if training.study:
        training.study.record(config)
    from lic_exp.launching.main import launch
    from lic_exp.launching.summary import console_for

    console = console_for(sys.stderr)
    console.quiet = quiet
    found: Run = launch(config, list(overrides), console)
    return found


def sweep(overrides: Sequence[str] = (), **launcher: Any) -> "SweepHandle":
    """Run the cells that `python launch.py -m OVERRIDES` would, what is done left out, and return once they have ended.

    launcher: options of `hydra.launcher`, e.g. slots=2, or detach=True, which returns at once. What fails shows in the
    handle's `status`; nothing is raised for it. Raises ConfigError before anything starts where an override is wrong.
    """
    from lic_exp.launching.sweeps.handle import SweepHandle
    from lic_exp.launching.sweeps.making import make

    made = make(_launched(overrides, launcher), several=True)
    made.run()
    return SweepHandle(made.frozen.folder)


def plan(overrides: Sequence[str] = (), **launcher: Any) -> "pd.DataFrame":
    """What `sweep` would run, as `plan=true` shows it; nothing is written or started. Raises ConfigError."""
    import pandas as pd

    from lic_exp.launching.sweeps.making import make
    from lic_exp.launching.sweeps.plan import plan as planned

    made = make(_launched(overrides, launcher), several=True)
    return pd.DataFrame(
        [
            {
                "label": one.now.cell.label,
                "signature": one.now.cell.signature,
                "state": one.now.state,
                "minutes": one.minutes,
                "differs": one.differs,
            }
            for one in planned(made)
        ]
    )


def search(overrides: Sequence[str], *, trials: int, sampler: str = "random", **launcher: Any) -> "SweepHandle":
    """Look for the lowest `val/rd_loss`, as `python launch.py -m hydra/sweeper=search` does; the sweep that it made.

    overrides: those with several values or an interval are the axes. sampler: "random", or "tpe" (Optuna). launcher: as
    in `sweep`. Raises ConfigError before anything starts where something is wrong.
    """
    from lic_exp.launching.studies import requested
    from lic_exp.launching.sweeps.handle import SweepHandle
    from lic_exp.launching.sweeps.search import search as run_search

    chosen = ["hydra/sweeper=search", f"hydra.sweeper.trials={trials}", f"hydra.sweeper.sampler={sampler}"]
    given = _launched([*overrides, *chosen], launcher)
    return SweepHandle(run_search(given, requested(given))[1])


def list_sweeps(runs: str | Path = "runs") -> "list[SweepHandle]":
    """All sweeps beside these runs, the latest made last."""
    from lic_exp.launching.sweeps.folder import sweeps
    from lic_exp.launching.sweeps.handle import SweepHandle

    return [SweepHandle(found.folder) for found in sweeps(runs)]


def _launched(overrides: Sequence[str], launcher: dict[str, Any]) -> list[str]:
    """The overrides with these options of the launcher."""
    return [*overrides, *(f"hydra.launcher.{key}={quoted(value)}" for key, value in launcher.items())]


def _chosen(group: str, name: str, plugins: Sequence[str], overrides: dict[str, Any]) -> dict[str, Any]:
    """A validated config with this choice. Values are set after composition: they need no override syntax."""
    arguments = [f"{group}={name}", *([f"plugins=[{','.join(plugins)}]"] if plugins else [])]
    config = compose(parse(arguments))
    config[group] |= overrides
    # One part is built here, not a run: how it suits the other groups does not matter.
    return validate(config, rules_too=False)
