"""From overrides to a plain, resolved config, by Hydra; its refusals name the override."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import hydra
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import GrammarParseError, OmegaConfBaseException

from lic_exp.component_schema import ComponentError, describe
from lic_exp.config.errors import ConfigError
from lic_exp.config.overrides import EXPERIMENT_NODES, Overrides
from lic_exp.places import conf_folder

# Setting a key of a list is a bare ValueError of OmegaConf; Hydra looks for a file by the name of each key.
REFUSALS = (HydraException, OmegaConfBaseException, ValueError, yaml.YAMLError, RecursionError, OSError)

_session = threading.RLock()


def compose(overrides: Overrides) -> dict[str, Any]:
    """The composed config as plain containers, interpolations resolved. Raises ConfigError naming the override.

    Codecs of one rate and of a range want different criteria, and `model=...` alone must make a run: where no
    criterion is named, the model decides.
    """
    node = compose_node(overrides)
    with naming_the_culprit(overrides.arguments):
        return to_plain(node)


def compose_node(overrides: Overrides) -> DictConfig:
    """As `compose`, before interpolations are resolved and with the nodes of an experiment."""
    with naming_the_culprit(overrides.arguments):
        config = composed(overrides.arguments)
        wanted = wanted_criterion(overrides.arguments, config)
        return composed([*overrides.arguments, *wanted]) if wanted else config


def fitted(overrides: Overrides) -> list[str]:
    """The arguments by which Hydra alone comes to the config that `compose` does. Raises ConfigError."""
    with naming_the_culprit(overrides.arguments):
        return [*overrides.arguments, *wanted_criterion(overrides.arguments, composed(overrides.arguments))]


def composed_by_hydra(config: Any, overrides: Any) -> dict[str, Any]:
    """What Hydra composed for a job, plain, and as `compose` would have it; overrides: Hydra's own record of them.

    A launcher of Hydra's composes each job by itself and does not know of `wanted_criterion`.
    """
    arguments = [text for text in overrides.hydra if text.startswith("hydra.searchpath=")] + list(overrides.task)
    wanted = wanted_criterion(arguments, config)
    return to_plain(composed([*arguments, *wanted]) if wanted else config)


def wanted_criterion(arguments: Sequence[str], config: Any) -> list[str]:
    """The criterion that the named model needs, where none is named."""
    keys = {argument.partition("=")[0].lstrip("+") for argument in arguments}
    if "model" not in keys or "criterion" in keys:
        return []
    ranges = {}
    for group in ("model", "criterion"):
        try:
            ranges[group] = getattr(describe(str(config[group].get("_target_"))).facts, "variable_rate", None)
        except (ComponentError, OSError):  # the validation says what is wrong
            return []
    if None in ranges.values() or ranges["model"] == ranges["criterion"]:
        return []
    return ["criterion=variable_rate" if ranges["model"] else "criterion=mse"]


@contextmanager
def hydra_session() -> Iterator[None]:
    """Leave a Hydra that is running already (a job of it may call `lic_exp.run`) as it was.

    There is one in a process: other threads wait.
    """
    with _session:
        before = GlobalHydra.instance().hydra
        GlobalHydra.instance().clear()
        try:
            with hydra.initialize_config_dir(str(conf_folder()), version_base="1.3", job_name="lic_exp"):
                yield
        finally:
            GlobalHydra.instance().hydra = before


def composed(arguments: Sequence[str], **options: Any) -> DictConfig:
    """What Hydra makes of these arguments; raises what Hydra raises. options: of `hydra.compose`."""
    with hydra_session(), _yaml_in_c():
        return hydra.compose("config", list(arguments), **options)


@contextmanager
def _yaml_in_c() -> Iterator[None]:
    """OmegaConf takes PyYAML's loader in Python for its base, which takes a tenth of the time that a start has."""
    before = yaml.SafeLoader
    yaml.SafeLoader = getattr(yaml, "CSafeLoader", before)  # type: ignore[misc]
    try:
        yield
    finally:
        yaml.SafeLoader = before  # type: ignore[misc]


@contextmanager
def naming_the_culprit(arguments: Sequence[str]) -> Iterator[None]:
    """Hydra's refusals of these overrides become a ConfigError that says which of them it is."""
    try:
        yield
    except REFUSALS as error:
        raise ConfigError([f"{_culprit(arguments)}: {_reason(error)}"]) from error


def _reason(error: BaseException) -> str:
    """What was wrong, on one line: Hydra's first, with the next where that one only leads to it."""
    if isinstance(error, HydraException) and isinstance(error.__cause__, OmegaConfBaseException):
        error = error.__cause__  # Hydra's own line is the override once more
    if isinstance(error, GrammarParseError):
        return "this is no interpolation; a text has a backslash before ${"
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if type(error) is ValueError and lines[0].startswith("invalid literal for int()"):
        return "the entries of a list have numbers for names, from 0 on"
    if isinstance(error, yaml.YAMLError):  # says on its later lines which file it is
        return " ".join(" ".join(lines).split())
    return " ".join(lines[: 2 if lines[0].endswith(":") else 1])


def _culprit(arguments: Sequence[str]) -> str:
    """The first override that cannot be composed with those before it."""
    for count, argument in enumerate(arguments, 1):
        try:
            to_plain(composed(arguments[:count]))
        except REFUSALS:
            return argument.lstrip("+")
    return "config"


def to_plain(config: Any) -> dict[str, Any]:
    """An OmegaConf config as plain containers, resolved while it is attached to its root.

    Hydra's own node is no part of a run, nor is the table or sweep that it may stand in.
    """
    plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=False)
    assert isinstance(plain, dict)
    for key in ("hydra", *EXPERIMENT_NODES):
        plain.pop(key, None)
    return {str(key): value for key, value in plain.items()}
