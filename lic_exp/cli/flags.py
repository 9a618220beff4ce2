"""Errors in the words of a command: what its user gave as a flag, the rooms below know as a key of a config."""

import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from lic_exp.config.errors import ConfigError

QUOTED = r"""'{}="((?:[^"\\]|\\.)*)"'"""
"""An override whose value needs quotes, as messages advise it: of a flag, a shell's quotes are enough."""


@contextmanager
def flags_named(flags: Mapping[str, str]) -> Iterator[None]:
    """Within, a ConfigError says `--device` where it would say `trainer.device`.

    flags: {what a message may say: what it says instead}, e.g. {"trainer.device": "--device"}; the longer first where
        one begins as another does.
    """
    try:
        yield
    except ConfigError as error:
        raise ConfigError(_renamed(message, flags) for message in error.messages) from error


def _renamed(message: str, flags: Mapping[str, str]) -> str:
    for key, flag in flags.items():
        message = re.sub(QUOTED.format(re.escape(key)), partial(_as_argument, flag), message)
        # Not in the middle of a longer name.
        before, after = r"(?<![\w.])" if key[0].isalnum() else "", r"(?!\w|\.\w)" if key[-1].isalnum() else ""
        message = re.sub(f"{before}{re.escape(key)}{after}", flag.replace("\\", r"\\"), message)
    return message


def _as_argument(flag: str, override: re.Match[str]) -> str:
    """`flag=value` for a shell, of a value as overrides quote it."""
    value = re.sub(r'(\\+)("|$)', lambda found: found[1][: len(found[1]) // 2] + found[2], override[1])
    return shlex.quote(f"{flag}={value}")
