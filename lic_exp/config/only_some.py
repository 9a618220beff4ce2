"""Overrides of options that only some command lines of a sweep have: `spectral_reg=none,intra` and a key of `intra`."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from lic_exp.config.composer import Composer
from lic_exp.config.errors import ConfigError
from lic_exp.config.overrides import EXPERIMENT_NODES, Overrides, parsed
from lic_exp.config.validation import unknown_keys

Shape = tuple[str, ...]


class OnlySome:
    """Takes from command lines what they have no option for, where others of the same sweep have one.

    An option that none of them has stays, to be refused. lines: those that stand for the whole sweep.
    """

    def __init__(self, lines: Sequence[Overrides], composer: Composer) -> None:
        self._composer = composer
        self._lacking: dict[Shape, frozenset[str]] = {}
        choices = {_choices(line) for line in lines}
        dotted = any("." in key for line in lines for key in _values(line))
        self._somewhere = self._had(lines) if len(choices) > 1 and dotted else frozenset()

    def _had(self, lines: Sequence[Overrides]) -> frozenset[str]:
        """The keys that a line sets and that one of the lines has."""
        return frozenset(key for line in lines for key in set(_values(line)) - self._lacked_by(line))

    def left_out(self, line: Overrides) -> dict[str, str]:
        """{key: its override} of what this line sets and does not have, but another of the sweep's has."""
        if not self._somewhere:
            return {}
        lacked = self._lacked_by(line) & self._somewhere
        return {key: text for key, text in _values(line).items() if key in lacked}

    def _lacked_by(self, line: Overrides) -> frozenset[str]:
        """What a line sets and does not have; which that is hangs on groups and keys, hardly ever on a value."""
        values = _values(line)
        components = (text for key, text in values.items() if key.endswith("_target_") or "{" in text)
        shape = (*_choices(line), *values, *components)
        if shape not in self._lacking:
            try:
                unknown = unknown_keys(self._composer(line))
            except ConfigError:  # who makes a config of it is told what is wrong
                unknown = []
            self._lacking[shape] = frozenset(key for key in values if any(_is_in(key, one) for one in unknown))
        return self._lacking[shape]


def without(line: Overrides, keys: Collection[str]) -> Overrides:
    """The line without what sets these keys."""
    return replace(line, arguments=[text for text in line.arguments if _key(text) not in keys])


def _is_in(key: str, node: str) -> bool:
    return key == node or key.startswith(f"{node}.")


def _choices(line: Overrides) -> Shape:
    """What chooses options of groups."""
    return tuple(text for text in line.arguments if not text.startswith("++"))


def _values(line: Overrides) -> dict[str, str]:
    """{key: override} of those that set a value of a run's config."""
    keyed = ((_key(text), text) for text in line.arguments)
    return {key: text for key, text in keyed if key is not None}


def _key(text: str) -> str | None:
    """The key of a run's config that an override sets; None where it does something else."""
    key = parsed(text).key_or_group if text.startswith("++") else ""
    return key if key and key.split(".")[0] not in EXPERIMENT_NODES else None
