"""A run that somebody has published, trained anew from its config. Imports no torch."""

from collections.abc import Sequence
from pathlib import Path

from lic_exp.config.errors import ConfigError
from lic_exp.config.loading import overridden, with_values
from lic_exp.config.schema import RunConfig
from lic_exp.records import SCHEMA_VERSION
from lic_exp.runs.extension import recorded_overrides
from lic_exp.runs.run import Run
from lic_exp.tracking.kinds import Numerics


def rerun_config(run: Run, into: str, overrides: Sequence[str]) -> RunConfig:
    """The run's config, to be trained in the folder of runs `into`. overrides: of keys that no name has.

    Raises ConfigError where that would be the run's own folder, or where what it names is another training today.
    """
    if Path(into).resolve() == run.folder.parent.resolve():
        raise ConfigError([f"--into={into}: run {run.signature} lies there itself; name another folder of runs"])
    if (schema := run.plain_config.get("schema_version")) != SCHEMA_VERSION:
        raise ConfigError(
            [f"run {run.signature} is of schema {schema}; this version trains schema {SCHEMA_VERSION} alone"]
        )
    given = overridden(run.config, overrides) if overrides else run.config
    config = with_values(given, {"paths.runs": into, "paths.results": None, "trainer.resume": "auto"})
    try:
        now = config.signature
    except ConfigError as error:
        raise ConfigError([*error.messages, f"for run {run.signature}. {WHERE}"]) from error
    if now != run.signature:
        raise ConfigError(
            [
                f"run {run.signature} would be run {now} today: its images, its weights or a signed override are other "
                f"than it was made of. {WHERE}"
            ]
        )
    origin = config.parent or config.init_from
    if origin and not Path(into, origin, "config.yaml").is_file():
        raise ConfigError(
            [
                f"run {run.signature} begins from run {origin}, which is not in {into}: train that anew first, python "
                f"-m lic_exp rerun {run.folder.parent / origin} --into {into}"
            ]
        )
    return config


WHERE = "Results have of a path its last part: give the command where a folder of that name is, or data.train=FOLDER"


def rerun_line(run: Run, into: str, overrides: Sequence[str]) -> list[str]:
    """The overrides that make the same run there."""
    return [*recorded_overrides(run), *overrides, f"paths.runs={into}"]


def recorded_threads(run: Run) -> int | None:
    """The CPU threads that it was trained by, where its config leaves them open; bits hang on them."""
    if run.config.trainer.threads is not None:
        return None
    records: list[Numerics] = run.status.get("numerics") or []
    return records[0].get("threads") if records else None
