"""From overrides to a plain, resolved config, with every error in the overrides reported at once.

Hydra stops at the first wrong override and advises `+key`, which then slips through. So group choices are checked
against the options there are, values are forced in, and `lic_exp.launching.validation` judges the result.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

import lic_exp
from lic_exp.catalogue import source_file
from lic_exp.launching.errors import ConfigError, did_you_mean


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

    Raises ConfigError for a plugin that is not installed.
    """
    folders, errors = [conf_folder()], []
    for plugin in plugins:
        source = source_file(plugin)
        if source is None:
            errors.append(
                f"plugins={plugin}: there is no such package; install it, or start from the folder that holds it"
            )
        elif (source.parent / "conf").is_dir() and source.name == "__init__.py":
            folders.append(source.parent / "conf")
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
    plugins = [str(name) for _, o in parsed if o.key_or_group == "plugins" for name in cast(list[Any], o.value() or [])]
    try:
        known = groups(plugins)
    except ConfigError as error:
        raise ConfigError(errors + error.messages) from None
    accepted: list[str] = []
    for argument, override in parsed:
        message = _judge(argument, override, known, plugins)
        if message:
            errors.append(message)
        else:
            accepted.append(_forced(argument, override, known))
    if errors:
        errors += _later_errors(accepted, plugins)
        raise ConfigError(errors)
    return Overrides(_searchpath(plugins) + accepted, plugins, any(o.is_sweep_override() for _, o in parsed))


def _judge(argument: str, override: Override, known: list[str], plugins: Sequence[str]) -> str | None:
    key = override.key_or_group
    if key.startswith(("hydra.", "hydra/")):
        return None
    if override.type == OverrideType.DEL:
        return f"{argument}: a key cannot be removed; set it to null where it allows that"
    if key not in known:
        return None
    valid = options(key, plugins)
    chosen = override.value()
    values = override.sweep_iterator() if override.is_sweep_override() else [chosen]
    for value in values:
        if value is not None and str(value) not in valid:
            return (
                f"{argument}: {key} has no option {value!r}.{did_you_mean(str(value), valid)} Valid: {', '.join(valid)}"
            )
    return None


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
    return [f"hydra.searchpath=[{','.join(f'file://{path}' for path in extra)}]"] if extra else []


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
    """The composed config as plain containers, interpolations resolved. Raises ConfigError."""
    try:
        with _hydra_session():
            config = hydra.compose("config", overrides.arguments)
        return to_plain(config)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError([str(error).splitlines()[0]]) from error


def to_plain(config: Any) -> dict[str, Any]:
    """An OmegaConf config as plain containers, resolved while it is attached to its root."""
    plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=False)
    assert isinstance(plain, dict)
    plain.pop("hydra", None)
    return {str(key): value for key, value in plain.items()}
