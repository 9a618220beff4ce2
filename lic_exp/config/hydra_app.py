"""Hydra's own application: what it shows of itself, and its launchers."""

import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from lic_exp.command_parser import CommandParser
from lic_exp.config.compose import compose_node, composed_by_hydra, naming_the_culprit, to_plain
from lic_exp.config.errors import ConfigError
from lic_exp.config.hydras_node import check_hydras_node
from lic_exp.config.overrides import Overrides
from lic_exp.places import conf_folder
from lic_exp.private_interfaces import hydra_arguments, yaml_text
from lic_exp.saying import say, show
from lic_exp.text import first_line, visible


def parse_arguments(arguments: Sequence[str]) -> Any:
    """Hydra's own arguments (`overrides`, `cfg`, `multirun` ...); `--help` and the like are flags in it."""
    return CommandParser(parents=[hydra_arguments()], add_help=False).parse_intermixed_args(list(arguments))


def check_flags(options: Any) -> None:
    """Raise ConfigError for flags of Hydra's that ask for another configuration than `conf/` and the overrides."""
    given = [name for name in ELSEWHERE if getattr(options, name, None)]
    if given:
        flags = " and ".join(f"--{name.replace('_', '-')}" for name in given)
        raise ConfigError(
            [f"{flags}: not taken here; options of your own lie in conf/ of a package: plugins=[PACKAGE]"]
        )


ELSEWHERE = ("config_path", "config_name", "config_dir", "experimental_rerun")


def hand_over(arguments: Sequence[str], job: Callable[[dict[str, Any]], int]) -> list[int]:
    """Let Hydra compose, show or run; it reads the command line from sys.argv.

    job: gets each plain config that Hydra would run. Returns what it has returned. Raises what it raises, and
    ConfigError where Hydra itself cannot do what it is asked for, or would call what is no component.
    """
    check_hydras_node(parse_arguments(arguments).overrides)
    codes: list[int] = []
    ours: list[Exception] = []

    def task(config: DictConfig) -> None:
        try:
            codes.append(job(composed_by_hydra(config, HydraConfig.get().overrides)))
        except Exception as error:
            ours.append(error)
            raise

    try:
        with _called_with(arguments):
            hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name="config")(task)()
    except Exception as error:  # assertions too: Hydra does not check all of its options
        if ours:
            raise
        asked = ", ".join(text for text in arguments if text.lstrip("+~").startswith(("hydra.", "hydra/", "-")))
        reason = first_line(str(error)) or type(error).__name__
        raise ConfigError([f"{asked or 'hydra'}: Hydra cannot do this: {reason}"]) from error
    return codes


@contextmanager
def _called_with(arguments: Sequence[str]) -> Iterator[None]:
    """The process's command line is this one, and Hydra raises its errors: else it prints a traceback and exits."""
    before = sys.argv, os.environ.get(FULL_ERROR)
    sys.argv, os.environ[FULL_ERROR] = [sys.argv[0], *arguments], "1"
    try:
        yield
    finally:
        sys.argv = before[0]
        if before[1] is None:
            del os.environ[FULL_ERROR]
        else:
            os.environ[FULL_ERROR] = before[1]


FULL_ERROR = "HYDRA_FULL_ERROR"


def hydra_shows(arguments: Sequence[str]) -> None:
    """Let Hydra show what its flags among these ask for: its help, its own config and the like. Raises ConfigError."""
    shown, said = io.StringIO(), io.StringIO()
    try:
        with redirect_stdout(shown), redirect_stderr(said):
            hand_over(arguments, lambda plain: 0)
    except SystemExit as end:
        if end.code:
            raise ConfigError([visible(first_line(said.getvalue()))]) from None
    show(*shown.getvalue().expandtabs().splitlines())
    say(*said.getvalue().expandtabs().splitlines())


def job_text(overrides: Overrides, *, resolve: bool) -> tuple[str, dict[str, Any]]:
    """(What `--cfg job` shows, the plain config that it shows). Raises ConfigError naming the override."""
    node = compose_node(overrides)
    with naming_the_culprit(overrides.arguments):
        return yaml_text(node, resolve=resolve), to_plain(node)
