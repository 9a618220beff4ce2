"""From overrides to a plain, resolved config, with every error in the overrides reported at once.

Hydra stops at the first wrong override and advises `+key`, which then slips through. So group choices are checked
against the options there are, values are forced in, and `lic_exp.launching.validation` judges the result.
"""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

import lic_exp
from lic_exp.catalogue import CatalogueError, describe, source_file
from lic_exp.launching.errors import ConfigError, did_you_mean
from lic_exp.launching.schema import SEVERAL


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
    parsed: list[tuple[str, Override]] = []
    for argument in arguments:
        try:
            parsed.append((argument, OverridesParser.create().parse_override(argument)))
        except HydraException as error:
            reason = str(error).splitlines()[0]
            hint = "" if "=" in argument else " An override has the form key=value."
            errors.append(f"{argument}: cannot be read ({reason}).{hint}")
    try:
        plugins = _plugins(parsed)
        known = groups(plugins)
    except ConfigError as error:
        raise ConfigError(errors + error.messages) from None
    tables = any(override.key_or_group == "experiment" for _, override in parsed)
    verdicts = [_judge(argument, override, known, plugins, tables=tables) for argument, override in parsed]
    errors += [message for message in verdicts if message]
    accepted = [
        (_forced(argument, override, known), override.is_sweep_override())
        for (argument, override), message in zip(parsed, verdicts, strict=True)
        if not message
    ]
    if errors:
        raise ConfigError(errors + _later_errors([argument for argument, sweep in accepted if not sweep], plugins))
    arguments = _searchpath(plugins) + [argument for argument, _ in accepted]
    return Overrides(arguments, plugins, any(sweep for _, sweep in accepted))


def values_of(arguments: Sequence[str], key: str) -> list[Any]:
    """The values that the last of these overrides gives `key`, several where it is a sweep; [] where none does."""
    found: list[Any] = []
    for argument in arguments:
        override = OverridesParser.create().parse_override(argument)
        if override.key_or_group == key:
            found = list(override.sweep_iterator()) if override.is_sweep_override() else [override.value()]
    return found


def is_sweep(argument: str) -> bool:
    """Whether a readable override holds several values."""
    sweep: bool = OverridesParser.create().parse_override(argument).is_sweep_override()
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
    if key.split(".")[0] == "table" and not tables:
        return f"{argument}: only an experiment has a table: choose one with experiment=..."
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


def cells(overrides: Overrides, *, several: bool) -> list[Overrides]:
    """The command lines of a sweep's runs, or the one there is.

    several: whether a sweep was asked for. Raises ConfigError for an override with several values where it was not.
    """
    if not overrides.sweeping:
        return [overrides]
    parsed = [(text, OverridesParser.create().parse_override(text)) for text in overrides.arguments]
    choices = [_values(text, override) if override.is_sweep_override() else [text] for text, override in parsed]
    if not several:
        swept = [text.lstrip("+") for (text, _), values in zip(parsed, choices, strict=True) if len(values) > 1]
        raise ConfigError(f"{text}: several values need -m (--multirun), or quotes to be one" for text in swept)
    return [Overrides(list(cell), overrides.plugins, False) for cell in itertools.product(*choices)]


def _values(text: str, override: Override) -> list[str]:
    return [f"{text.partition('=')[0]}={value}" for value in override.sweep_string_iterator()]


def fitted(overrides: Overrides) -> Overrides:
    """The same with the criterion that `compose` adds, for those who compose by themselves. Raises ConfigError."""
    wanted = _wanted_criterion(overrides.arguments, _composed_or_refused(overrides.arguments))
    return Overrides([*overrides.arguments, *wanted], overrides.plugins, overrides.sweeping)


def _wanted_criterion(arguments: Sequence[str], config: dict[str, Any]) -> list[str]:
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
def _hydra_session() -> Iterator[None]:
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
    config = _composed_or_refused(overrides.arguments)
    wanted = _wanted_criterion(overrides.arguments, config)
    return _composed_or_refused([*overrides.arguments, *wanted]) if wanted else config


def _composed_or_refused(arguments: Sequence[str]) -> dict[str, Any]:
    try:
        return _composed(arguments)
    except _REFUSALS as error:
        reason = str(error).splitlines()[0]
        raise ConfigError([f"{_culprit(arguments)}: {reason}"]) from error


# Setting a key of a list is a bare ValueError of OmegaConf.
_REFUSALS = (HydraException, OmegaConfBaseException, ValueError)


def compose_table(overrides: Overrides) -> dict[str, Any] | None:
    """The node `table` of the composed config, or None where nothing has rows. Raises ConfigError naming the override.

    A scale may hold what its budget changes in a table (`rates`), and so has part of a node.
    """
    try:
        with _hydra_session():
            node = hydra.compose("config", list(overrides.arguments)).get("table")
    except _REFUSALS as error:
        reason = str(error).splitlines()[0]
        raise ConfigError([f"{_culprit(overrides.arguments)}: {reason}"]) from error
    table = OmegaConf.to_container(node) if node is not None else None
    assert table is None or isinstance(table, dict)
    return {str(key): value for key, value in table.items()} if table and "variants" in table else None


def _composed(arguments: Sequence[str]) -> dict[str, Any]:
    with _hydra_session():
        config = hydra.compose("config", list(arguments))
    return to_plain(config)


def _culprit(arguments: Sequence[str]) -> str:
    """The first override that cannot be composed with those before it."""
    for count, argument in enumerate(arguments, 1):
        try:
            _composed(arguments[:count])
        except _REFUSALS:
            return argument.lstrip("+")
    return "config"


def to_plain(config: Any) -> dict[str, Any]:
    """An OmegaConf config as plain containers, resolved while it is attached to its root.

    Hydra's own node is no part of a run, nor is the table that it may stand in.
    """
    plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=False)
    assert isinstance(plain, dict)
    plain.pop("hydra", None)
    plain.pop("table", None)
    return {str(key): value for key, value in plain.items()}
