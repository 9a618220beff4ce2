"""Hydra's own application: what it shows of itself, and its launchers."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from lic_exp.config.compose import compose_node, composed_by_hydra, naming_the_culprit, to_plain
from lic_exp.config.errors import ConfigError
from lic_exp.config.overrides import Overrides
from lic_exp.places import conf_folder
from lic_exp.private_interfaces import hydra_arguments


def parse_arguments(arguments: Sequence[str]) -> Any:
    """Hydra's own arguments (`overrides`, `cfg`, `multirun` ...); `--help` and the like are flags in it."""
    return hydra_arguments().parse_intermixed_args(list(arguments))


def check_flags(options: Any) -> None:
    """Raise ConfigError for flags of Hydra's that ask for another configuration than `conf/` and the overrides."""
    given = [name for name in ELSEWHERE if getattr(options, name, None)]
    if given:
        flags = " and ".join(f"--{name.replace('_', '-')}" for name in given)
        raise ConfigError([f"{flags}: not taken here; options of your own lie in a hydra.searchpath=[file://FOLDER]"])


ELSEWHERE = ("config_path", "config_name", "config_dir", "experimental_rerun")


def hand_over(arguments: Sequence[str], job: Callable[[dict[str, Any]], int]) -> list[int]:
    """Let Hydra compose, show or run; it reads the command line from sys.argv.

    job: gets each plain config that Hydra would run. Returns what it has returned.
    """
    codes: list[int] = []

    def task(config: DictConfig) -> None:
        codes.append(job(composed_by_hydra(config, HydraConfig.get().overrides)))

    before = sys.argv
    sys.argv = [sys.argv[0], *arguments]
    try:
        hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name="config")(task)()
    finally:
        sys.argv = before
    return codes


def job_text(overrides: Overrides, *, resolve: bool) -> tuple[str, dict[str, Any]]:
    """(What `--cfg job` shows, the plain config that it shows). Raises ConfigError naming the override."""
    node = compose_node(overrides)
    with naming_the_culprit(overrides.arguments):
        return OmegaConf.to_yaml(node, resolve=resolve), to_plain(node)
