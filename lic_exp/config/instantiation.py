"""A chosen component becomes an object: the one place where options become arguments. Imports no torch by itself."""

import importlib
from collections.abc import Callable
from typing import Any, TypeVar

from lic_exp.config.errors import ConfigError
from lic_exp.config.nodes import Component

T = TypeVar("T")


def instantiate(chosen: Component | None, path: str, *supplied: Any, **extra: Any) -> Any:
    """The object that a config chose: its target called with what the platform supplies and the component's options.

    path: where it stands in the config, for messages. Its parts are built first and handed over. A constructor's
    ValueError is an error of the config: it is reported with the path. None where nothing was chosen.
    """
    if chosen is None:
        return None
    module, _, name = chosen.target.rpartition(".")
    make = getattr(importlib.import_module(module), name)
    options = {
        key: instantiate(value, f"{path}.{key}") if isinstance(value, Component) else value
        for key, value in chosen.options.items()
    }
    return with_message(path, make, *supplied, **extra, **options)


def with_message(key: str, make: Callable[..., T], *supplied: Any, **options: Any) -> T:
    """Call `make`; its ValueError, or what it could not read, is an error of the config at `key`."""
    try:
        return make(*supplied, **options)
    except ConfigError:
        raise
    except (ValueError, OSError) as error:
        raise ConfigError([f"{key}: {error}"]) from error
