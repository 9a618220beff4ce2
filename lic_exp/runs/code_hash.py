"""Which code a result was made by: a hash of what can change it, deaf to comments, docstrings, layout and file names.

It covers the definitions that training and evaluation, and the components which a run chose, can come to use, in this
package; of the user's own packages all modules that those components are in, and that these import, count whole
(`lic_exp.runs.reached`). A model or a command that is added, and a definition that moves
to another file, change nothing; nor does what only reads configs, makes room on disks and tells people (QUIET). What
keeps the pixels and weights that are worked with, and what a log or a table measures, counts.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

from lic_exp.places import PACKAGE
from lic_exp.processes import PROCESS_BEGAN
from lic_exp.runs import code_known, reached
from lic_exp.runs.code_known import Code
from lic_exp.runs.modules_read import Sources
from lic_exp.runs.reached import meanings
from lic_exp.source_text import OURS, source_file

log = logging.getLogger("lic_exp.runs")

KIND = "d2-"
"""What hashes of this form begin with. Others, as earlier versions wrote them, say nothing of the code there is now."""

DIGITS = 16

ROOTS = ("lic_exp.runs.judging.judged", "lic_exp.runs.train.train", "lic_exp.runs.evaluate.evaluate_run")
"""What builds, trains and evaluates every run."""

QUIET = frozenset(
    f"{OURS}.{name}"
    for name in (
        *("config", "tracking", "cli", "sweeps", "runs.lock", "runs.one_at_a_time", "runs.changed_images"),
        *("annotations", "capabilities", "component_kinds", "component_schema", "conditions", "lineage"),
        *("runs.code_hash", "runs.code_known", "runs.reached", "runs.modules_read", "runs.names_used"),
        *("option_types", "requirements", "source_text", "records", "yaml_files", "json_text"),
        *("atomic", "console", "fault_points", "naming", "places", "processes", "saying", "text", "user_cache"),
        "pretrained",  # whose weights are in a run's name, by content
        # Which decoded files are kept, never what is in them; whether a file is whole: an error or nothing.
        *(f"data.{file}" for file in ("digest_store", "unchanged", "store_room")),
        *("models.file_digest", "runs.preflight.check_disk", "runs.preflight.check_place", "training.display"),
        "models.rans_library",  # by which machine code the same bytes are made
        # What measures a training that goes on as it would without.
        *("sections", "runs.profiling", "runs.profile_report", "runs.plots", "plot_style"),
        *("runs.diagnosing", "ops.bands", "ops.foretold"),
        *(f"training.{part}" for part in ("profiling", "step_times", "launches", "arithmetic")),
        *(f"evaluation.{part}" for part in ("watching", "pictures", "curve_picture", "diagnosis", "diagnosis_files")),
        *(f"spectral_reg.{part}" for part in ("pictures",)),
    )
)
"""What finds, checks, keeps and shows, and computes no number of a result. What a config means is in a run's name."""

HEARD = frozenset(
    f"{OURS}.config.{name}"
    for name in (
        *("instantiation.instantiate", "instantiation.with_message"),
        *("evaluated.separate_images", "signing.data_source"),
    )
)
"""What decides within QUIET how components are built, and which images are worked with."""

PLATFORM = OURS
"""The part of a run's code that builds, trains and evaluates any run."""

MOST_NAMED = 3

MadeBy = Literal["current", "stale", "unknown"]
"""Whether a run was made by the code that there is now, by other, or nobody knows."""


def code_parts(
    components: Sequence[str] = (), plugins: Sequence[str] = (), *, root: Path | None = None
) -> dict[str, str] | None:
    """{part: hash} of the code as it lies on disk now, for a run of these components: PLATFORM, and each of them.

    components: the dotted paths of what its config chose. plugins: the user's own packages. root: a folder with a copy
    of the packages, whose code is meant. None where a part of it is not to be found, so that nothing can be said.
    """
    found = _code(tuple(sorted(set(components))), tuple(plugins), root)
    return None if found is None else dict(found.parts)


@cache
def _code(components: tuple[str, ...], plugins: tuple[str, ...], root: Path | None) -> Code | None:
    if code_known.has_changed():  # what was read before is of other files
        reached.forget()
        _part.cache_clear()

    def find() -> Code | None:
        return _found(components, _sources(plugins, root))

    if plugins or root is not None:
        return find()
    return code_known.known(
        (KIND, *ROOTS, "", *sorted(QUIET), "", *sorted(HEARD)), components, find, code_known.last_seen()
    )


def _found(components: tuple[str, ...], sources: Sources) -> Code | None:
    starts = _starts(components)
    parts = {part: text for part, names in starts.items() if (text := _part(names, sources)) is not None}
    if len(parts) < len(starts):
        return None
    places = {name for names in starts.values() for name in names}
    modules = {module for name in places for module, _ in reached.reached(name, sources) or ()}
    return Code(parts, sorted(modules))


@cache
def _part(names: tuple[str, ...], sources: Sources) -> str | None:
    """The hash of definitions and of all that they can come to use; None where one is not to be found."""
    texts = [meanings(name, sources) for name in names]
    return None if None in texts else _digest("\0".join(sorted(frozenset[str]().union(*filter(None, texts)))))


def _starts(components: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """{part: dotted paths of what it begins with}."""
    return {PLATFORM: ROOTS} | {component: (component,) for component in components}


def _sources(plugins: Sequence[str], root: Path | None = None) -> Sources:
    own = frozenset([OURS, *(plugin.split(".", maxsplit=1)[0] for plugin in plugins)])
    return Sources(own, frozenset([OURS]), QUIET, HEARD, root)


def forget() -> None:
    """Look at all code anew, which is else looked at once: a copy was replaced."""
    reached.forget()
    _code.cache_clear()
    _part.cache_clear()


def code_hash(components: Sequence[str] = (), plugins: Sequence[str] = (), *, root: Path | None = None) -> str | None:
    """One hash of all `code_parts`, whose arguments these are."""
    parts = code_parts(components, plugins, root=root)
    return (
        None if parts is None else KIND + _digest("\0".join(f"{part} {text}" for part, text in sorted(parts.items())))
    )


def code_at_work(components: Sequence[str], plugins: Sequence[str]) -> str | None:
    """`code_hash` of the code that this process works with, which it has imported by now or will.

    None, and the log says why, where a file of it was changed after the process began: what was imported may be other.
    """
    code = _code(tuple(sorted(set(components))), tuple(plugins), None)
    sources = _sources(plugins)
    files = (sources.file(module) for module in (code.modules if code is not None else ()))
    changed = [path for path in files if path is not None and changed_since(path, PROCESS_BEGAN)]
    if changed:
        named = ", ".join(str(path) for path in changed[:MOST_NAMED])
        log.warning(
            "nobody knows which code is at work: %s changed after this process began; begin a new one (in a notebook: "
            "restart the kernel)",
            f"{named} and {len(changed) - MOST_NAMED} more files" if changed[MOST_NAMED:] else named,
        )
        return None
    return code_hash(components, plugins)


def changed_since(path: Path, moment: float) -> bool:
    """Whether a file was changed after a moment [Unix s]; one that is gone was."""
    try:
        return path.stat().st_mtime > moment
    except OSError:
        return True


def evaluated_by(status: Mapping[str, Any]) -> str | None:
    """The hash of the code that evaluates a run in this process, by the run's status.json; as `code_at_work`."""
    return code_at_work(_components(status), status.get("plugins") or ())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def code_state(status: Mapping[str, Any], *, root: Path | None = None) -> MadeBy:
    """Whether the code that made a run is the one that there is now, by the run's status.json.

    A run that went on by other code than it began with is stale in any case. root: as of `code_parts`.
    """
    made_by = set(status.get("code") or ())
    if not made_by or any(one is None or not one.startswith(KIND) for one in made_by):
        return "unknown"
    if len(made_by) > 1:
        return "stale"
    now = code_hash(_components(status), status.get("plugins") or (), root=root)
    return "unknown" if now is None else "current" if made_by == {now} else "stale"


def changed_parts(status: Mapping[str, Any]) -> list[str]:
    """Of a stale run the parts of its code that are other now; [] where that cannot be said."""
    now = code_parts(_components(status), status.get("plugins") or ())
    return [] if now is None else [part for part, text in (status.get("parts") or {}).items() if now.get(part) != text]


def _components(status: Mapping[str, Any]) -> list[str]:
    return [part for part in status.get("parts") or () if part != PLATFORM]


def packages(plugins: Sequence[str]) -> list[Path]:
    """The folders of this package and of the user's own."""
    found = (source_file(plugin) for plugin in plugins)
    own = [path.parent if path.name == "__init__.py" else path for path in found if path is not None]
    return [PACKAGE, *own]
