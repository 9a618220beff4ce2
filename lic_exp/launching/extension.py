"""What a run may have otherwise than the finished run that it extends: a greater length, and unsigned keys."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lic_exp.launching.errors import ConfigError, did_you_mean
from lic_exp.launching.identity import signature, signed_part
from lic_exp.launching.run import Run, run_folders
from lic_exp.launching.validation import validate
from lic_exp.tracking.mlflow_store import flatten
from lic_exp.tracking.run_folder import is_run_folder

LENGTHS = ("trainer.max_steps", "trainer.max_epochs")

STAGED = "a run with stages cannot be extended, since they say how long it is. Begin a new run from its weights"

Config = Mapping[str, Any]


def check_extension(config: Config) -> None:
    """Raise ConfigError, all messages at once, where a validated config does not extend its `parent`.

    The parent must be done: a run that stopped before its end goes on by its own command.
    """
    parent = _parent(config)
    if parent.state != "done":
        raise ConfigError(
            [f"run {parent.signature} is {parent.state}, not done: give its own command again to finish it first"]
        )
    if not sorted(parent.files.checkpoints.glob("step_*.pt")):
        raise ConfigError([f"run {parent.signature} has no step checkpoint left to go on from. {_advice(parent)}"])
    before = _validated(parent)
    if signature(before) != parent.signature:
        raise ConfigError(
            [f"run {parent.signature} cannot be continued: its images or weights are no longer what they were"]
        )
    errors = [*_differences(config, before, parent), *_lengths(config, before)]
    if errors:
        raise ConfigError(errors)


def _parent(config: Config) -> Run:
    runs = Path(config["paths"]["runs"])
    folder = runs / config["parent"]
    if folder.parent == runs and is_run_folder(folder):
        return Run(folder)
    known = [path.name for path in run_folders(runs)] if runs.is_dir() else []
    hint = did_you_mean(config["parent"], known)
    raise ConfigError([f"parent={config['parent']}: there is no run of this signature in {runs}.{hint}"])


def _validated(parent: Run) -> Config:
    try:
        return validate(parent.config, rules_too=False)
    except ConfigError as error:
        raise ConfigError(
            f"run {parent.signature} was made by another version of this package: {message}"
            for message in error.messages
        ) from error


def _differences(config: Config, before: Config, parent: Run) -> list[str]:
    new, old = flatten(signed_part(config)), flatten(signed_part(before))
    # Each key once, in the order of the config.
    differing = [key for key in new | old if new.get(key) != old.get(key) and key not in (*LENGTHS, "parent")]
    messages = [
        f"{_shown(key, new)}: an extension goes on as its parent was trained, with {_shown(key, old)}"
        for key in differing
    ]
    return [*messages[:-1], f"{messages[-1]}. {_advice(parent)}"] if messages else []


def _shown(key: str, values: Mapping[str, str]) -> str:
    return f"{key}={values[key]}" if key in values else f"no {key}"


def _advice(parent: Run) -> str:
    return f"To train on otherwise, make a new run with model.weights={parent.files.checkpoints / 'best.pt'}"


def _lengths(config: Config, before: Config) -> list[str]:
    if before["stages"]:
        return [STAGED]
    key = "max_steps" if before["trainer"]["max_steps"] is not None else "max_epochs"
    new, old = config["trainer"][key], before["trainer"][key]
    if new is None:
        return [f"the parent is trainer.{key}={old} long: extend it by trainer.{key}"]
    return [f"trainer.{key}={new}: must be greater than the parent's {old}"] if new <= old else []
