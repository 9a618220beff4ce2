"""Configs as run folders have them, also those that an earlier version of this package wrote."""

from collections.abc import Mapping
from typing import Any

from lic_exp.config.schema import SCHEMA_VERSION, RunConfig
from lic_exp.config.validation import validate

RENAMED = {"judged_weights": "eval_weights"}
"""Keys of `trainer` that had other names in schema 1."""


def stored_config(plain: Mapping[str, Any]) -> RunConfig:
    """The config of a run folder, of any schema version, in today's form.

    Today's signature of an earlier schema's config is not the name of that run. Raises ConfigError where this version
    of the package cannot read it.
    """
    return validate(plain if plain.get("schema_version") == SCHEMA_VERSION else _upgraded(plain), rules_too=False)


def _upgraded(plain: Mapping[str, Any]) -> dict[str, Any]:
    trainer = {RENAMED.get(key, key): value for key, value in plain.get("trainer", {}).items()}
    evaluation = {"qualities": None} | plain.get("evaluation", {})
    newer = {"schema_version": SCHEMA_VERSION, "trainer": trainer, "evaluation": evaluation}
    return {"init_from": None, "variant": None} | dict(plain) | newer
