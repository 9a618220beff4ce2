"""What a result was made with: packages, code, images, machine."""

import os
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distributions, version
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from lic_exp.atomic import write_atomically, write_json
from lic_exp.places import PACKAGE, conf_folder
from lic_exp.records import RecordError, read_file, read_record
from lic_exp.release import VERSION
from lic_exp.runs.checkout import CheckoutState, checkout_of, checkout_state
from lic_exp.source_text import source_file
from lic_exp.tracking.kinds import CodeRecord
from lic_exp.tracking.run_folder import RunFolder

ORIGIN = "origin.json"
"""Beside a copy of the code: what was known of the checkout that it was taken from."""

DIFF = "git.diff"


class CodeState(NamedTuple):
    """Which code takes part in runs. facts: as they stand in environment.json. diffs: {file beside it: its content}."""

    facts: dict[str, Any]
    diffs: dict[str, bytes]


def record_environment(
    run: RunFolder,
    arguments: list[str],
    plugins: Sequence[str] = (),
    images: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> dict[str, Any]:
    """Write environment.json, and beside it what was not committed of the code.

    plugins: the user's own packages. images: what `lic_exp.runs.images_record` says.
    """
    code = origin(PACKAGE.parent) or code_state(plugins)
    environment = {
        "command": [sys.executable, *sys.argv],
        "overrides": arguments,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        **code.facts,
        "images": {key: dict(facts) for key, facts in images.items()},
        "packages": dict(sorted(map(_named, distributions()))),
    }
    for earlier in run.root.glob("git*.diff"):
        earlier.unlink()
    _write_diffs(run.root, code.diffs)
    write_json(run.environment, environment)
    return environment


def version_text() -> str:
    """What runs here, on a line: this package's version, the commit that it is of, Python, torch, and where it lies."""
    code = (origin(PACKAGE.parent) or code_state()).facts
    commit = code.get("git_commit")
    changes = {"True": " with changes", "False": ""}.get(str(code.get("git_dirty")), ", perhaps with changes")
    of = f"commit {commit[:12]}{changes}" if commit else "of no known commit"
    try:
        torch = f"torch {version('torch')}"
    except PackageNotFoundError:
        torch = "no torch"
    return f"lic_exp {VERSION} ({of}), Python {platform.python_version()}, {torch}, in {PACKAGE.parent}"


def _named(package: Distribution) -> tuple[str, str]:
    """Its name and version, without reading on behind them as importlib does: its file may hold its whole manual."""
    for file in ("METADATA", "PKG-INFO"):
        head = (package.read_text(file) or "").partition("\n\n")[0]
        fields = dict(
            line.split(": ", maxsplit=1) for line in head.splitlines() if line.startswith(("Name: ", "Version: "))
        )
        if len(fields) == 2:
            return fields["Name"], fields["Version"]
    return package.metadata["Name"], package.version


def record_origin(folder: Path, plugins: Sequence[str]) -> None:
    """Write what `origin` reads: beside a copy of the code, which has no history, what is known of the code itself."""
    code = origin(PACKAGE.parent) or code_state(plugins)
    _write_diffs(folder, code.diffs)
    write_json(folder / ORIGIN, code.facts)


def origin(folder: Path) -> CodeState | None:
    """What is on record of the code that lies in this folder as a copy; None where it is no copy."""
    try:
        facts = read_record(folder / ORIGIN, CodeRecord)
    except FileNotFoundError:
        return None
    except RecordError as error:
        return _lost(str(error))
    try:
        return CodeState(dict(facts), {name: read_file(folder / name) for name in facts.get("git_diffs", ())})
    except (FileNotFoundError, RecordError) as error:
        return _lost(str(error))


def _lost(why: str) -> CodeState:
    return CodeState(_facts(CheckoutState(problem=why)) | {"git_diffs": [], "plugins": {}}, {})


def code_state(plugins: Sequence[str] = ()) -> CodeState:
    """Of this package and the user's own, what git says of their checkouts.

    `git_commit` is this package's. `git_dirty` is of all of them: true, false, or null where that is not known.
    """
    folders = {name: _folder(name) for name in plugins}
    roots = {name: folder and checkout_of(folder) for name, folder in folders.items()}
    own = checkout_of(PACKAGE)
    beside = [folder for name, folder in folders.items() if folder and roots[name] == own]
    state = checkout_state(own, PACKAGE, [conf_folder(), *beside], scripts=True)
    states = {
        name: state if root and root == own else _of_plugin(name, folders[name], root) for name, root in roots.items()
    }
    diffs = {DIFF: state.diff} if state.diff else {}
    for name, theirs in states.items():
        if theirs is not state and theirs.diff and theirs.diff not in diffs.values():
            diffs[f"git.{name}.diff"] = theirs.diff
    facts = _facts(state) | {"git_dirty": _together([state, *states.values()]), "git_diffs": list(diffs)}
    return CodeState(facts | {"plugins": {name: _facts(theirs) for name, theirs in states.items()}}, diffs)


def _of_plugin(name: str, folder: Path | None, root: Path | None) -> CheckoutState:
    if folder is None:
        return CheckoutState(problem=f"package {name} cannot be found")
    return checkout_state(root, folder, [])


def _folder(plugin: str) -> Path | None:
    """Where a user's package lies, or the file where it is one."""
    path = source_file(plugin)
    return path.parent if path is not None and path.name == "__init__.py" else path


def _facts(state: CheckoutState) -> dict[str, Any]:
    return {
        "git_commit": state.commit,
        "git_dirty": state.dirty,
        "git_problem": state.problem,
        "git_left_out": list(state.left_out),
    }


def _together(states: Iterable[CheckoutState]) -> bool | None:
    """Whether one of them has changes; None where that is not known of one, and no other has."""
    dirty = {state.dirty for state in states}
    return True if True in dirty else None if None in dirty else False


def _write_diffs(folder: Path, diffs: Mapping[str, bytes]) -> None:
    for name, content in diffs.items():
        write_atomically(folder / name, content)
