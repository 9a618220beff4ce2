"""Continuing a finished run as a new one: a greater length, and otherwise unsigned keys."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from lic_exp.config.errors import ConfigError, did_you_mean
from lic_exp.config.loading import overridden, with_values
from lic_exp.config.reach import end_of
from lic_exp.config.schema import RunConfig
from lic_exp.config.signing import signed_part
from lic_exp.flat import flatten
from lic_exp.records import SCHEMA_VERSION, RecordError, read_record
from lic_exp.runs.run import Run, run_folders
from lic_exp.tracking.kinds import Environment
from lic_exp.tracking.run_folder import RunFolder, is_run_folder, step_checkpoints, step_of

STAGED = "a run with stages cannot be extended, since they say how long it is. Begin a new run from its weights"

BEGUN = (
    "a run that began from the weights of another (init_from) cannot be extended: a run has one beginning. "
    "Begin a new run from its weights"
)


MOST_NAMED = 10

SCHEDULER = "scheduler"
STEP = "parent_step"


def extended(parent: Run, overrides: Sequence[str]) -> RunConfig:
    """The parent's config with these overrides and itself as `parent`; its own `parent_step` is not inherited.

    Raises ConfigError where one cannot be read.
    """
    config = _config_of(parent)
    if config.stages:
        raise ConfigError([STAGED])
    if config.init_from is not None:
        raise ConfigError([BEGUN])
    given = {override.lstrip("+").partition("=")[0] for override in overrides}
    new: dict[str, str | None] = {"parent": parent.signature}
    if STEP not in given:
        new[STEP] = None
    if "paths.runs" not in given:
        new["paths.runs"] = _short(parent.folder.parent)
    return with_values(overridden(config, overrides), new)


def command_line(parent: Run, overrides: Sequence[str]) -> list[str]:
    """The overrides that make the same run: the parent's, its signature, and what differs."""
    # Where the parent branched off is a place in another run than itself.
    own = [f"{STEP}=null"] if parent.plain_config.get(STEP) is not None else []
    return [*recorded_overrides(parent), f"parent='{parent.signature}'", *own, *overrides]


def recorded_overrides(run: Run) -> list[str]:
    """The overrides that made a run, [] where they are not on record."""
    try:
        return list(read_record(run.files.environment, Environment).get("overrides", []))
    except (FileNotFoundError, RecordError):
        return []


def _short(folder: Path) -> str:
    here = Path.cwd()
    return str(folder.relative_to(here) if folder.is_relative_to(here) else folder)


def check_extension(config: RunConfig) -> None:
    """Raise ConfigError, all messages at once, where a config does not extend its `parent`.

    The parent must be done: a run that stopped before its end goes on by its own command.
    """
    parent = run_beside(config, "parent", str(config.parent))
    if parent.state != "done":
        raise ConfigError(
            [f"run {parent.signature} is {parent.state}, not done: give its own command again to finish it first"]
        )
    before = _config_of(parent)
    try:
        begun = begun_after(config, parent.files)
    except RecordError as error:
        raise ConfigError([str(error)]) from error
    if missing := _missing(config, parent, begun):
        raise ConfigError([missing])
    if before.signature != parent.signature:
        raise ConfigError(
            [f"run {parent.signature} cannot be continued: its images or weights are no longer what they were"]
        )
    errors = [*_differences(config, before, parent, begun), *_lengths(config, before, begun)]
    if errors:
        raise ConfigError(errors)


def begun_after(config: RunConfig, parent: RunFolder) -> int:
    """After how many steps of its parent an extension begins: `parent_step`, or all that a done parent has made.

    Raises RecordError where its status.json is damaged.
    """
    if config.parent_step is not None:
        return config.parent_step
    made = parent.status().get("step")
    if made is None:
        raise RecordError(parent.status_file, "it does not say how many steps were made")
    return int(made)


def run_beside(config: RunConfig, key: str, name: str) -> Run:
    """The run of this full signature in the config's folder of runs. key: that names it. Raises ConfigError."""
    runs = Path(config.paths.runs)
    folder = runs / name
    if (folder.parent, folder.name) == (runs, name) and is_run_folder(folder):
        return Run(folder)
    known = [path.name for path in run_folders(runs)] if runs.is_dir() else []
    hint = did_you_mean(name, known) or f" {'It has: ' + ', '.join(known[:MOST_NAMED]) if known else 'It has none.'}"
    raise ConfigError([f"{key}={name}: there is no run of this signature in {runs}.{hint}"])


def _config_of(parent: Run) -> RunConfig:
    earlier = f"run {parent.signature} was made by another version of this package"
    if (schema := parent.plain_config.get("schema_version")) != SCHEMA_VERSION:
        raise ConfigError([f"{earlier}, with schema {schema}, and cannot be continued. {_advice(parent)}"])
    try:
        return parent.config
    except ConfigError as error:
        raise ConfigError(f"{earlier}: {message}" for message in error.messages) from error


def _missing(config: RunConfig, parent: Run, begun: int) -> str:
    """What there is not to go on from; empty where there is."""
    steps = [step_of(path) for path in step_checkpoints(parent.files.checkpoints)]
    if not steps:
        return f"run {parent.signature} has no step checkpoint left to go on from. {_advice(parent)}"
    listed = f"has checkpoints after step {', '.join(map(str, steps))}"
    if config.parent_step not in (None, *steps):
        return (
            f"parent_step={config.parent_step}: run {parent.signature} {listed}. "
            "One trained with trainer.keep_every_steps keeps more"
        )
    if begun not in steps:
        return (
            f"run {parent.signature} has no checkpoint of its last step, {begun}, left to go on from; it {listed}: "
            "parent_step begins at one of these"
        )
    return ""


def _differences(config: RunConfig, before: RunConfig, parent: Run, begun: int) -> list[str]:
    if before.stages or config.stages:
        return []  # refused by their lengths
    new, old = _choices(config), _choices(before)
    # Each key once, in the order of the config.
    differing = [key for key in new | old if new.get(key) != old.get(key) and key not in ("parent", STEP)]
    messages = [
        f"{_shown(key, new)}: an extension goes on as its parent was trained, with {_shown(key, old)}"
        for key in differing
        if not key.startswith(SCHEDULER)
    ]
    if any(key.startswith(SCHEDULER) for key in differing):
        from lic_exp.runs.branching import first_unlike_step  # imports torch

        unlike = first_unlike_step(config, before, begun)
        if unlike is not None:
            messages.append(
                f"the schedule's rates are not the parent's from step {unlike} on, and {begun} steps are done: choose "
                "one that differs only later"
            )
    return [*messages[:-1], f"{messages[-1]}. {_advice(parent)}"] if messages else []


def _choices(config: RunConfig) -> dict[str, str]:
    """{key: text} of what is signed but the length; a component's name stands under its group."""
    signed = signed_part(config)
    (stage,) = signed.pop("stages")
    del signed["validation"]  # part of the stage's data
    found = flatten(signed | {key: value for key, value in stage.items() if key not in ("steps", "epochs")})
    return {key.replace("component.options.", "").removesuffix(".component.name"): text for key, text in found.items()}


def _shown(key: str, values: Mapping[str, str]) -> str:
    return f"{key}={values[key]}" if key in values else f"no {key}"


def _advice(parent: Run) -> str:
    return f"To train on otherwise, make a new run with model.weights={parent.files.checkpoints / 'best.pt'}"


def _lengths(config: RunConfig, before: RunConfig, begun: int) -> list[str]:
    if before.stages or config.stages:
        return [STAGED]
    key = "max_steps" if before.trainer.max_steps is not None else "max_epochs"
    new, old = getattr(config.trainer, key), getattr(before.trainer, key)
    if new is None:
        return [f"the parent is trainer.{key}={old} long: extend it by trainer.{key}"]
    if config.parent_step is not None:
        end = end_of(config).step
        return [f"trainer.{key}={new}: {end} steps, and parent_step={begun} are done already"] if end <= begun else []
    return [f"trainer.{key}={new}: must be greater than the parent's {old}"] if new <= old else []
