"""From overrides to a plain, resolved config, by Hydra; its refusals name the override."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lic_exp.catalogue import CatalogueError, describe
from lic_exp.launching.errors import ConfigError
from lic_exp.launching.overrides import EXPERIMENT_NODES, Overrides, conf_folder


def composed_by_hydra(config: Any, overrides: Any) -> dict[str, Any]:
    """What Hydra composed for a job, plain, and as `compose` would have it; overrides: Hydra's own record of them.

    A launcher of Hydra's composes each job by itself and does not know of `wanted_criterion`.
    """
    plain = to_plain(config)
    arguments = [text for text in overrides.hydra if text.startswith("hydra.searchpath=")] + list(overrides.task)
    wanted = wanted_criterion(arguments, plain)
    return _composed([*arguments, *wanted]) if wanted else plain


def wanted_criterion(arguments: Sequence[str], config: dict[str, Any]) -> list[str]:
    """The criterion that the named model needs, where none is named."""
    keys = {argument.partition("=")[0].lstrip("+") for argument in arguments}
    if "model" not in keys or "criterion" in keys:
        return []
    ranges = {}
    for group in ("model", "criterion"):
        try:
            ranges[group] = getattr(describe(str(config[group].get("_target_"))).facts, "variable_rate", None)
        except (CatalogueError, OSError):  # the validation says what is wrong
            return []
    if None in ranges.values() or ranges["model"] == ranges["criterion"]:
        return []
    return ["criterion=variable_rate" if ranges["model"] else "criterion=mse"]


@contextmanager
def hydra_session() -> Iterator[None]:
    """Leave a Hydra that is running already (a job of it may call `lic_exp.run`) as it was."""
    before = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with hydra.initialize_config_dir(str(conf_folder()), version_base="1.3", job_name="lic_exp"):
            yield
    finally:
        GlobalHydra.instance().hydra = before


def compose(overrides: Overrides) -> dict[str, Any]:
    """The composed config as plain containers, interpolations resolved. Raises ConfigError naming the override.

    Codecs of one rate and of a range want different criteria, and `model=...` alone must make a run: where no
    criterion is named, the model decides.
    """
    return compose_fitted(overrides)[0]


def compose_fitted(overrides: Overrides) -> tuple[dict[str, Any], Overrides]:
    """As `compose`, with the overrides by which Hydra alone comes to the same config."""
    config = _composed(overrides.arguments)
    wanted = wanted_criterion(overrides.arguments, config)
    if not wanted:
        return config, overrides
    arguments = [*overrides.arguments, *wanted]
    return _composed(arguments), Overrides(arguments, overrides.plugins, overrides.sweeping)


@contextmanager
def _naming_the_culprit(arguments: Sequence[str]) -> Iterator[None]:
    """Hydra's refusals of these overrides become a ConfigError that says which of them it is."""
    try:
        yield
    except REFUSALS as error:
        reason = str(error).splitlines()[0]
        raise ConfigError([f"{_culprit(arguments)}: {reason}"]) from error


# Setting a key of a list is a bare ValueError of OmegaConf.
REFUSALS = (HydraException, OmegaConfBaseException, ValueError)


@dataclass(frozen=True)
class Request:
    """What a command line says beside its config: how its runs are made, and which.

    table, sweep: these nodes of the experiment, None where it has none. launcher: the `kind` of the option of
    hydra/launcher, for people may add options, or its name where it has none. sweeper: the option of hydra/sweeper.
    launcher_options, sweeper_options: their values. params: `hydra.sweeper.params` as overrides. multirun: whether
    `hydra.mode` asks for a sweep as `-m` does.
    """

    table: dict[str, Any] | None
    sweep: dict[str, Any] | None
    launcher: str
    launcher_options: dict[str, Any]
    sweeper: str
    sweeper_options: dict[str, Any]
    params: list[str]
    multirun: bool


def compose_request(overrides: Overrides) -> Request:
    """The nodes of the composed config that are no part of a run. Raises ConfigError naming the override.

    A scale may hold what its budget changes in a table (`rates`), and so has part of a node.
    """
    # Forced, so that a wrong key of the launcher reaches our own check, as those of a run do.
    ours = ("hydra.launcher.", "hydra.sweeper.")
    arguments = [f"++{text}" if text.startswith(ours) else text for text in overrides.arguments]
    with _naming_the_culprit(overrides.arguments):
        with hydra_session():
            config = hydra.compose("config", arguments, return_hydra_config=True)
        nodes = {key: _plain_node(config.get(key)) for key in EXPERIMENT_NODES}
        params = _plain_node(config.hydra.sweeper.get("params")) or {}
        launcher, sweeper = (_plain_node(config.hydra[key]) or {} for key in ("launcher", "sweeper"))
    table = nodes["table"] if nodes["table"] and "variants" in nodes["table"] else None
    chosen = [str(config.hydra.runtime.choices[f"hydra/{key}"]) for key in ("launcher", "sweeper")]
    swept = [f"{key}={value}" for key, value in params.items()]
    kind = str(launcher.pop("kind", chosen[0]))
    return Request(
        table, nodes["sweep"], kind, launcher, chosen[1], sweeper, swept, "MULTIRUN" in str(config.hydra.mode)
    )


def _plain_node(node: Any) -> dict[str, Any] | None:
    plain = None if node is None else OmegaConf.to_container(node)
    assert plain is None or isinstance(plain, dict)
    return None if plain is None else {str(key): value for key, value in plain.items()}


def _composed(arguments: Sequence[str]) -> dict[str, Any]:
    with _naming_the_culprit(arguments):
        return _tried(arguments)


def _tried(arguments: Sequence[str]) -> dict[str, Any]:
    """The composed config; raises what Hydra raises."""
    with hydra_session():
        config = hydra.compose("config", list(arguments))
    return to_plain(config)


def _culprit(arguments: Sequence[str]) -> str:
    """The first override that cannot be composed with those before it."""
    for count, argument in enumerate(arguments, 1):
        try:
            _tried(arguments[:count])
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
