"""Where the options of the configuration groups come from: our folder, and the `conf` of the user's own packages."""

import sys
from collections.abc import Sequence
from pathlib import Path

from lic_exp.config.errors import ConfigError
from lic_exp.places import conf_folder
from lic_exp.source_text import source_file
from lic_exp.text import blank_message, is_blank


def conf_folders(plugins: Sequence[str]) -> list[Path]:
    """All folders that options come from: ours, then each plugin's `conf`.

    Raises ConfigError for a plugin that is not installed, or whose option has the name of one that is there already:
    Hydra would take the first without a word.
    """
    folders, errors = [conf_folder()], []
    for plugin in dict.fromkeys(plugins):
        source = source_file(plugin)
        if is_blank(plugin):
            errors.append(blank_message("the name of a package in plugins"))
        elif source is None or plugin in sys.stdlib_module_names:
            errors.append(f"plugins={plugin}: {_no_source(plugin)}")
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


def _no_source(plugin: str) -> str:
    if plugin in sys.builtin_module_names or plugin in sys.stdlib_module_names:
        return "this is Python's own, and has no components"
    return "there is no such package; install it, or start from the folder that holds it"


def options(group: str, plugins: Sequence[str] = ()) -> list[str]:
    """The names that may be chosen for `group`, e.g. "model"."""
    found = (folder.joinpath(*group.split("/")).glob("*.yaml") for folder in conf_folders(plugins))
    return sorted({path.stem for paths in found for path in paths})


def groups(plugins: Sequence[str] = ()) -> list[str]:
    """The configuration groups, Hydra's own left out."""
    found = {path.name for folder in conf_folders(plugins) for path in folder.iterdir() if path.is_dir()}
    return sorted(found - {"hydra"})
