"""What a command line says beside its config: which runs there are, and how they are made."""

from dataclasses import dataclass
from typing import Any

from omegaconf import OmegaConf

from lic_exp.config.compose import composed, naming_the_culprit
from lic_exp.config.overrides import EXPERIMENT_NODES, Overrides

OURS = ("hydra.launcher.", "hydra.sweeper.")


@dataclass(frozen=True)
class LaunchRequest:
    """The nodes of a composed config that are no part of a run.

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


def compose_request(overrides: Overrides) -> LaunchRequest:
    """The request of a command line. Raises ConfigError naming the override.

    A scale may hold what its budget changes in a table (`rates`), and so has part of a node.
    """
    # Forced, so that a wrong key of the launcher reaches our own check, as those of a run do.
    arguments = [f"++{text}" if text.startswith(OURS) else text for text in overrides.arguments]
    with naming_the_culprit(overrides.arguments):
        config = composed(arguments, return_hydra_config=True)
        nodes = {key: _plain_node(config.get(key)) for key in EXPERIMENT_NODES}
        params = _plain_node(config.hydra.sweeper.get("params")) or {}
        launcher, sweeper = (_plain_node(config.hydra[key]) or {} for key in ("launcher", "sweeper"))
    table = nodes["table"] if nodes["table"] and "variants" in nodes["table"] else None
    chosen = [str(config.hydra.runtime.choices[f"hydra/{key}"]) for key in ("launcher", "sweeper")]
    swept = [f"{key}={value}" for key, value in params.items()]
    kind = str(launcher.pop("kind", chosen[0]))
    multirun = "MULTIRUN" in str(config.hydra.mode)
    return LaunchRequest(table, nodes["sweep"], kind, launcher, chosen[1], sweeper, swept, multirun)


def _plain_node(node: Any) -> dict[str, Any] | None:
    plain = None if node is None else OmegaConf.to_container(node)
    assert plain is None or isinstance(plain, dict)
    return None if plain is None else {str(key): value for key, value in plain.items()}
