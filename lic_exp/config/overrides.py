"""The words of a command line: overrides and the options that they choose, judged one by one before Hydra sees them.

Hydra stops at the first wrong override and advises `+key`, which then slips through. So group choices are checked
against the options there are, and values are forced in for `lic_exp.config.validation` to judge.
"""

import itertools
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    ChoiceSweep,
    Glob,
    IntervalSweep,
    Override,
    OverrideType,
    Quote,
    QuotedString,
    RangeSweep,
)
from hydra.errors import HydraException

from lic_exp.config.errors import ConfigError, did_you_mean
from lic_exp.config.hydras_keys import is_hydras, judge_hydras
from lic_exp.config.options import conf_folders, groups, options
from lic_exp.config.quoted_keys import bare, with_bare_keys
from lic_exp.config.schema import SEVERAL

EXPERIMENT_NODES = ("table", "sweep")
"""Top-level nodes of an experiment that say which runs there are; none of them is part of a run."""


MOST_RUNS = 20_000
"""Of one command line."""


NOTHING = "none"
"""The option of a group of several that chooses no other."""

UNREADABLE = (HydraException, ValueError, RecursionError)
"""What `parsed` raises: numbers may be too long for it, brackets nested too deep."""


@lru_cache(maxsize=8192)
def parsed(argument: str) -> Override:
    """A readable override, taken apart; parsing is what a sweep of a thousand cells would spend its time on.

    Raises one of UNREADABLE, which `parse` makes messages of.
    """
    return OverridesParser.create().parse_override(with_bare_keys(argument))


@dataclass(frozen=True)
class Overrides:
    """A parsed command line.

    arguments: the overrides in a form that Hydra accepts without judging them.
    plugins: the user's own packages named in it.
    sweeping: whether an override holds several values.
    """

    arguments: list[str]
    plugins: list[str]
    sweeping: bool


class RefusedOverridesError(ConfigError):
    """Overrides that are wrong by themselves.

    accepted: the others, so that what they make can be judged as well. keys: those of the wrong ones, of which nothing
    is known: that they are missing, or what is below them wrong, would be untrue.
    """

    def __init__(self, messages: Iterable[str], accepted: Overrides, refused: Iterable[str] = ()) -> None:
        super().__init__(messages)
        self.accepted = accepted
        self.keys = [key for text in refused if (key := text.lstrip("+~").partition("=")[0])]

    def concerns(self, message: str) -> bool:
        """Whether a message on the config that the others make is of one of these keys."""
        return any(re.match(rf"{re.escape(key)}([ =.:\[]|$)", message) for key in self.keys)


def parse(arguments: Sequence[str]) -> Overrides:
    """Check overrides one by one: their syntax and the group options they choose. Raises RefusedOverridesError."""
    errors: list[str] = []
    refused: list[str] = []
    found: list[tuple[str, Override]] = []
    for argument in arguments:
        try:
            found.append((argument, parsed(argument)))
        except UNREADABLE:
            from lic_exp.config.grammar import advice  # only a refusal needs it

            errors.append(advice(argument, parsed, UNREADABLE))
            refused.append(argument)
    try:
        plugins = _plugins(found)
        known = groups(plugins)
    except ConfigError as error:
        raise ConfigError(errors + error.messages) from None
    tables = any(override.key_or_group == "experiment" for _, override in found)
    verdicts = [_judge(argument, override, known, plugins, tables=tables) for argument, override in found]
    errors += [message for message in verdicts if message]
    refused += [argument for (argument, _), message in zip(found, verdicts, strict=True) if message]
    accepted = [
        (_forced(argument, override, known), override.is_sweep_override())
        for (argument, override), message in zip(found, verdicts, strict=True)
        if not message
    ]
    if errors:
        single = [argument for argument, sweep in accepted if not sweep]
        raise RefusedOverridesError(errors, Overrides([*_searchpath(plugins), *single], plugins, False), refused)
    arguments = _searchpath(plugins) + [argument for argument, _ in accepted]
    return Overrides(arguments, plugins, any(sweep for _, sweep in accepted))


def parse_each(lines: Sequence[Sequence[str]]) -> list[Overrides]:
    """`parse` for many command lines, whose overrides are mostly the same. Raises ConfigError."""
    distinct = list(dict.fromkeys(text for line in lines for text in line))
    whole = parse(distinct)
    ours, judged = (
        len(whole.arguments) - len(distinct),
        dict(zip(distinct, whole.arguments[-len(distinct) :], strict=False)),
    )
    head = whole.arguments[:ours]
    return [Overrides([*head, *(judged[text] for text in line)], whole.plugins, False) for line in lines]


def quoted(value: Any) -> str:
    """A plain value as the right side of an override that means exactly it."""
    if isinstance(value, str):
        return QuotedString(value, Quote.single).with_quotes()
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{bare(str(key)) or key}:{quoted(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(quoted, value)) + "]"
    return json.dumps(value)


def values_of(arguments: Sequence[str], key: str) -> list[Any]:
    """The values that the last of these overrides gives `key`, several where it is a sweep; [] where none does."""
    found: list[Any] = []
    for argument in filter(is_readable, arguments):
        override = parsed(argument)
        if override.key_or_group == key:
            found = list(override.sweep_iterator()) if override.is_sweep_override() else [override.value()]
    return found


def is_readable(argument: str) -> bool:
    """Whether the grammar reads an override; `parse` says what is wrong with any other."""
    try:
        parsed(argument)
    except UNREADABLE:
        return False
    return True


def is_sweep(argument: str) -> bool:
    """Whether an override holds several values; of one that cannot be read it is not known."""
    return is_readable(argument) and bool(parsed(argument).is_sweep_override())


def _plugins(parsed: Sequence[tuple[str, Override]]) -> list[str]:
    """The packages that the last `plugins=` names. Raises ConfigError where that is no list."""
    named: list[Any] = []
    for argument, override in parsed:
        if override.key_or_group == "plugins":
            value = override.value()
            if not isinstance(value, list):
                raise ConfigError([f"{argument}: should be a list, e.g. plugins=[my_package]"])
            named = value
    return [str(name) for name in named]


def _judge(argument: str, override: Override, known: list[str], plugins: Sequence[str], *, tables: bool) -> str | None:
    """What is wrong with an override by itself, or None. tables: whether an experiment is chosen."""
    key = override.key_or_group
    if not key:
        return f"{argument}: the key is missing. An override has the form key=value."
    if is_hydras(key) or is_hydras(override.package or ""):
        return judge_hydras(argument, override)
    if (node := key.split(".")[0]) in EXPERIMENT_NODES and not tables:
        return f"{argument}: only an experiment has a {node}: choose one with experiment=..."
    if override.type == OverrideType.DEL:
        return f"{argument}: a key cannot be removed; set it to null where it allows that"
    if override.is_sweep_override() and (text := _not_countable(override, known)):
        return f"{argument}: {text}"
    return _judge_choice(argument, override, options(key, plugins)) if key in known else None


def _not_countable(override: Override, known: Sequence[str]) -> str | None:
    """What is wrong with an override of several values whose values cannot be listed, or None."""
    key, value = override.key_or_group, override.value()
    if isinstance(value, Glob):
        return f"glob(...) is not known here: name the values, {key}=A,B"
    if isinstance(value, IntervalSweep) and key in known:
        return f"{key} is a group of options, and an interval is of numbers: name options, {key}=A,B"
    if isinstance(value, RangeSweep):
        start, stop, step = (float(end or 0) for end in (value.start, value.stop, value.step))
        if not (math.isfinite(start) and math.isfinite(stop) and math.isfinite(step) and step * (stop - start) > 0):
            return "a range goes by steps from a finite number towards another, range(1,9,2)"
        if (stop - start) / step > MOST_RUNS:
            return f"that is {(stop - start) / step:.0f} values, and {MOST_RUNS} are the most"
    return None


def _judge_choice(argument: str, override: Override, valid: list[str]) -> str | None:
    """What is wrong with the choice of a group's options, of which `valid` are there, or None."""
    key = override.key_or_group
    values = list(override.sweep_iterator()) if override.is_sweep_override() else [override.value()]
    if key in SEVERAL:
        for together in (value for value in values if isinstance(value, list)):
            if twice := [name for name in dict.fromkeys(map(str, together)) if together.count(name) > 1]:
                return f"{argument}: {twice[0]} stands there twice"
            if NOTHING in together and len(together) > 1:
                return f"{argument}: {NOTHING} is for itself: leave it out, or choose {key}={NOTHING}"
        values = [name for value in values for name in (value or ["[]"] if isinstance(value, list) else [value])]
    wrong = ["null" if value is None else str(value) for value in values if str(value) not in valid]
    if not wrong:
        return None
    hint = did_you_mean("none" if wrong[0] == "null" else wrong[0], valid)
    listed = f"Valid: {', '.join(valid)}" if valid else "There are none yet."
    return f"{argument}: {key} has no option {wrong[0]!r}.{hint} {listed}"


def _forced(argument: str, override: Override, known: list[str]) -> str:
    """The override with `++` where it sets a value, so that an unknown key reaches our own check."""
    key, argument = override.key_or_group, with_bare_keys(argument)
    if key in known or key.startswith("hydra"):
        return argument.lstrip("+") if key in known else argument
    return "++" + argument.lstrip("+")


def _searchpath(plugins: Sequence[str]) -> list[str]:
    extra = conf_folders(plugins)[1:]
    # Quoted, since a path may hold what means something in an override.
    quoted = ("'file://" + str(path).replace("\\", "\\\\").replace("'", "\\'") + "'" for path in extra)
    return [f"hydra.searchpath=[{','.join(quoted)}]"] if extra else []


def cells(given: Sequence[str], *, several: bool) -> list[tuple[Overrides, dict[str, Any]]]:
    """The command lines of a sweep's runs, or the one there is, each with the values that tell it from the others.

    several: whether a sweep was asked for. Raises ConfigError for an override with several values where it was not.
    """
    overrides = parse(given)
    texts = overrides.arguments
    values_of_each = [choices(text) if is_sweep(text) else [text] for text in texts]
    if not several:
        swept = [text.lstrip("+") for text, values in zip(texts, values_of_each, strict=True) if len(values) > 1]
        if swept:
            raise ConfigError(f"{text}: several values need -m (--multirun){_as_one(text)}" for text in swept)
    if (count := math.prod(map(len, values_of_each))) > MOST_RUNS:
        raise ConfigError([f"these overrides describe {count} runs, and {MOST_RUNS} are the most of one command line"])
    several_at = [place for place, values in enumerate(values_of_each) if len(values) > 1]
    return [
        (
            Overrides(list(cell), overrides.plugins, False),
            {parsed(cell[place]).key_or_group: parsed(cell[place]).value() for place in several_at},
        )
        for cell in itertools.product(*values_of_each)
    ]


def _as_one(text: str) -> str:
    """How the values of an override would be one, where they may have been meant so."""
    from lic_exp.config.grammar import LONGEST, shell_word  # only a refusal needs it

    key, _, value = text.partition("=")
    parts = [str(part) for part in parsed(text).sweep_iterator()]
    if key in SEVERAL and NOTHING not in parts:
        return f", or brackets to be together: {key}=[{value}]"
    simple = isinstance(parsed(text).value(), ChoiceSweep) and not re.search(r'["\'(]', value)
    if not simple or key in groups() or len(text) > LONGEST or all(re.match(r"[-+.\d]", part) for part in parts):
        return ""
    whole = f'{key}="{value}"'
    return f", or quotes to be one: {shell_word(whole)}"


def choices(text: str) -> list[str]:
    """An override of several values as one override of each. Raises ConfigError for an interval, which has no end."""
    if isinstance(parsed(text).value(), IntervalSweep):
        raise ConfigError([f"{text.lstrip('+')}: an interval is for a search: hydra/sweeper=search"])
    return [f"{text.partition('=')[0]}={value}" for value in parsed(text).sweep_string_iterator()]
