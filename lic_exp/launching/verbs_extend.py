"""`extend`: continue a finished run as a new one that knows its parent."""

import argparse
import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lic_exp.launching.errors import ConfigError
from lic_exp.launching.verbs import add_run

if TYPE_CHECKING:
    from lic_exp.launching.run import Run
    from lic_exp.launching.verbs import Verbs


def add_parser(verbs: "Verbs") -> None:
    parser = verbs.add_parser(
        "extend",
        help="continue a finished run as a new one: extend RUN trainer.max_steps=1000",
        description="Make a new run of a finished run's config with a greater length, whose training goes on from the "
        "parent's last checkpoint. Other overrides may only be of keys outside the signature: name, tags, logging, "
        "workers, tracker. Schedules that count shares of the run are stretched over the new length.",
    )
    add_run(parser)
    parser.add_argument(
        "overrides", nargs="+", metavar="OVERRIDE", help="trainer.max_steps=... or trainer.max_epochs=..."
    )
    parser.set_defaults(verb=_extend)


def _extend(options: argparse.Namespace) -> int:
    from lic_exp.launching.run import find_run

    parent = find_run(options.run, options.runs)
    config = extended(parent, options.overrides)
    from lic_exp.launching.main import start

    return start(config, _given(parent, options.overrides))


def extended(parent: "Run", overrides: Sequence[str]) -> dict[str, Any]:
    """The parent's config with these overrides and itself as `parent`. Raises ConfigError where one cannot be read."""
    from lic_exp.launching.compose import compose
    from lic_exp.launching.extension import STAGED
    from lic_exp.launching.overrides import groups, parse

    config = deepcopy(parent.config)
    if config.get("stages"):
        raise ConfigError([STAGED])
    plugins = config.get("plugins") or []
    parsed = parse([*([f"plugins=[{','.join(plugins)}]"] if plugins else []), *overrides])
    if parsed.sweeping:
        raise ConfigError(["an override has several values; extend makes one run"])
    composed = compose(parsed)
    keys = [override.lstrip("+").partition("=")[0] for override in overrides]
    # A group's option first: it brings the keys that other overrides set.
    known = groups(plugins)
    for key in sorted(keys, key=lambda key: key not in known):
        _set(config, composed, key.split("."))
    config["parent"] = parent.signature
    if "paths.runs" not in keys:
        config["paths"]["runs"] = _short(parent.folder.parent)
    return config


def _set(config: dict[str, Any], composed: Mapping[str, Any], path: Sequence[str]) -> None:
    *above, last = path
    for name in above:
        if not isinstance(config.get(name), dict):
            raise ConfigError([f"{'.'.join(path)}: there is no {name} in this run's config"])
        config, composed = config[name], composed[name]
    if last not in composed:
        raise ConfigError([f"{last} cannot be chosen for an extension; give single keys, e.g. trainer.max_steps=1000"])
    config[last] = composed[last]


def _short(folder: Path) -> str:
    here = Path.cwd()
    return str(folder.relative_to(here) if folder.is_relative_to(here) else folder)


def _given(parent: "Run", overrides: Sequence[str]) -> list[str]:
    """The command line that makes the same run: the parent's, its signature, and what differs."""
    try:
        environment = json.loads(parent.files.environment.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        environment = {}
    return [*environment.get("overrides", []), f"parent='{parent.signature}'", *overrides]
