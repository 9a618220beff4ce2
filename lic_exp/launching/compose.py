"""From overrides to a plain, resolved config, with every error in the overrides reported at once.

Hydra stops at the first wrong override and advises `+key`, which then slips through. So group choices are checked
against the options there are, values are forced in, and `lic_exp.launching.validation` judges the result.
"""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, OverrideType, Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

import lic_exp
from lic_exp.catalogue import CatalogueError, describe, source_file
from lic_exp.launching.errors import ConfigError, did_you_mean
from lic_exp.launching.schema import SEVERAL


@lru_cache(maxsize=8192)
def parsed(argument: str) -> Override:
    """A readable override, taken apart; parsing is what a sweep of a thousand cells would spend its time on."""
    return OverridesParser.create().parse_override(argument)


def conf_folder() -> Path:
    """The configuration: `conf` inside the installed package, or beside it in a checkout."""
    package = Path(lic_exp.__file__).parent
    return next(path for path in (package / "conf", package.parent / "conf") if (path / "config.yaml").is_file())


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


def conf_folders(plugins: Sequence[str]) -> list[Path]:
    """All folders that options come from: ours, then each plugin's `conf`.

    Raises ConfigError for a plugin that is not installed, or whose option has the name of one that is there already:
    Hydra would take the first without a word.
    """
    folders, errors = [conf_folder()], []
    for plugin in dict.fromkeys(plugins):
        source = source_file(plugin)
        if source is None:
            errors.append(
                f"plugins={plugin}: there is no such package; install it, or start from the folder that holds it"
            )
        elif (folder := source.parent / "conf").is_dir() and source.name == "__init__.py":
            files = (path.relative_to(folder) for path in sorted(folder.glob("*/*.yaml")))
            taken = [file for file in files if any((other / file).exists() for other in folders)]
            errors += [
                f"plugins={plugin}: there is a {file.parent}={file.stem} already; rename yours" for file in taken
            ]
            folders.append(folder)
    if errors:
        raise ConfigError(errors)
    return folders


def options(group: str, plugins: Sequence[str] = ()) -> list[str]:
    """The names that may be chosen for `group`, e.g. "model"."""
    found = (folder.joinpath(*group.split("/")).glob("*.yaml") for folder in conf_folders(plugins))
    return sorted({path.stem for paths in found for path in paths})


def groups(plugins: Sequence[str] = ()) -> list[str]:
    """The configuration groups, Hydra's own left out."""
    found = {path.name for folder in conf_folders(plugins) for path in folder.iterdir() if path.is_dir()}
    return sorted(found - {"hydra"})


def parse(arguments: Sequence[str]) -> Overrides:
    """Check overrides one by one: their syntax and the group options they choose. Raises ConfigError."""
    errors: list[str] = []
    found: list[tuple[str, Override]] = []
    for argument in arguments:
        try:
            found.append((argument, parsed(argument)))
        except HydraException as error:
            reason = str(error).splitlines()[0]
            hint = "" if "=" in argument else " An override has the form key=value."
            errors.append(f"{argument}: cannot be read ({reason}).{hint}")
    try:
        plugins = _plugins(found)
        known = groups(plugins)
    except ConfigError as error:
        raise ConfigError(errors + error.messages) from None
    tables = any(override.key_or_group == "experiment" for _, override in found)
    verdicts = [_judge(argument, override, known, plugins, tables=tables) for argument, override in found]
    errors += [message for message in verdicts if message]
    accepted = [
        (_forced(argument, override, known), override.is_sweep_override())
        for (argument, override), message in zip(found, verdicts, strict=True)
        if not message
    ]
    if errors:
        raise ConfigError(errors + _later_errors([argument for argument, sweep in accepted if not sweep], plugins))
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
        return "{" + ",".join(f"{key}:{quoted(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(quoted, value)) + "]"
    return json.dumps(value)


def values_of(arguments: Sequence[str], key: str) -> list[Any]:
    """The values that the last of these overrides gives `key`, several where it is a sweep; [] where none does."""
    found: list[Any] = []
    for argument in arguments:
        override = parsed(argument)
        if override.key_or_group == key:
            found = list(override.sweep_iterator()) if override.is_sweep_override() else [override.value()]
    return found


def is_sweep(argument: str) -> bool:
    """Whether a readable override holds several values."""
    sweep: bool = parsed(argument).is_sweep_override()
    return sweep


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
    if key.startswith(("hydra.", "hydra/")):
        return None
    if (node := key.split(".")[0]) in EXPERIMENT_NODES and not tables:
        return f"{argument}: only an experiment has a {node}: choose one with experiment=..."
    if override.type == OverrideType.DEL:
        return f"{argument}: a key cannot be removed; set it to null where it allows that"
    return _judge_choice(argument, override, options(key, plugins)) if key in known else None


def _judge_choice(argument: str, override: Override, valid: list[str]) -> str | None:
    """What is wrong with the choice of a group's options, of which `valid` are there, or None."""
    key = override.key_or_group
    values = list(override.sweep_iterator()) if override.is_sweep_override() else [override.value()]
    if key in SEVERAL:
        values = [name for value in values for name in (value or ["[]"] if isinstance(value, list) else [value])]
    wrong = ["null" if value is None else str(value) for value in values if str(value) not in valid]
    if not wrong:
        return None
    hint = did_you_mean("none" if wrong[0] == "null" else wrong[0], valid)
    listed = f"Valid: {', '.join(valid)}" if valid else "There are none yet."
    return f"{argument}: {key} has no option {wrong[0]!r}.{hint} {listed}"


def _forced(argument: str, override: Override, known: list[str]) -> str:
    """The override with `++` where it sets a value, so that an unknown key reaches our own check."""
    key = override.key_or_group
    if key in known or key.startswith("hydra"):
        return argument.lstrip("+") if key in known else argument
    return "++" + argument.lstrip("+")


def _later_errors(accepted: Sequence[str], plugins: Sequence[str]) -> list[str]:
    """What else is wrong, so that one start reports everything."""
    from lic_exp.launching.validation import validate

    try:
        validate(compose(Overrides([*_searchpath(plugins), *accepted], list(plugins), False)))
    except ConfigError as error:
        return error.messages
    return []


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
    choices = [_values(text) if is_sweep(text) else [text] for text in texts]
    if not several:
        swept = [text.lstrip("+") for text, values in zip(texts, choices, strict=True) if len(values) > 1]
        if swept:
            raise ConfigError(f"{text}: several values need -m (--multirun), or quotes to be one" for text in swept)
    several_at = [place for place, values in enumerate(choices) if len(values) > 1]
    return [
        (
            Overrides(list(cell), overrides.plugins, False),
            {parsed(cell[place]).key_or_group: parsed(cell[place]).value() for place in several_at},
        )
        for cell in itertools.product(*choices)
    ]


def _values(text: str) -> list[str]:
    if isinstance(parsed(text).value(), IntervalSweep):
        raise ConfigError([f"{text.lstrip('+')}: an interval is for a search: hydra/sweeper=search"])
    return [f"{text.partition('=')[0]}={value}" for value in parsed(text).sweep_string_iterator()]


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


EXPERIMENT_NODES = ("table", "sweep")
"""Top-level nodes of an experiment that say which runs there are; none of them is part of a run."""

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
