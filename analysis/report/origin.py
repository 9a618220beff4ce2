"""The parts of a report that say where its numbers are from: what was asked, on what machine, by which commands."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.errors import AnalysisError
from analysis.image_points import Images
from analysis.named_runs import NamedRun, named
from analysis.report.parts import PageTable, Part, plain
from analysis.report.subject import Subject
from analysis.run_points import evaluation_of
from lic_exp.image_identity import images_fingerprint
from lic_exp.labels import value_text
from lic_exp.records import RecordError, read_record
from lic_exp.text import visible
from lic_exp.tracking.kinds import Environment, EvaluationResults
from lic_exp.tracking.run_folder import EVALUATION_FILE, RunFolder

PACKAGES = ("torch", "torchvision", "numpy", "compressai", "pytorch-msssim", "pillow", "scikit-image")
"""What bits and measures depend on."""

MOST_READ = 200
"""Runs whose environment is read, spread over all of them."""

MOST_VALUES = 12
"""Of a key, that are all named."""

FINGERPRINT_DIGITS, STUDY_DIGITS = 8, 8

MOST_LAUNCHES = 40
"""Commands of single runs."""


def asked(subject: Subject) -> Part:
    """What was varied, what all runs that have begun have, and on which images they were measured."""
    tables = []
    if rows := [(key, values_text(values)) for key, values in _varied(subject).items()]:
        tables.append(PageTable("What was varied", ("key", "values"), tuple(map(plain, rows))))
    lines = [subject.table.study.table.title] if subject.table is not None else []
    shared = list(_shared(subject))
    if shared:
        tables.append(PageTable("What all runs have", ("key", "value"), tuple(map(plain, shared))))
    if measured := list(_measured_on(subject)):
        header = ("images", "number", "fingerprint", "runs")
        tables.append(PageTable("What was evaluated on", header, tuple(map(plain, measured))))
    return Part("What was asked", tuple(lines), tuple(tables))


def _varied(subject: Subject) -> dict[str, list[Any]]:
    """{key: its values in order, each once} of keys in which some differ; one that a run does not have is a value."""
    roles = [cell.role or {} for arm in subject.arms for cell in arm.cells]
    found: dict[str, dict[str, Any]] = {}
    for role in roles:
        for key, value in role.items():
            found.setdefault(key, {}).setdefault(repr(value), value)
    differ = [key for key, values in found.items() if len(values) > 1 or not all(key in role for role in roles)]
    return {key: list(found[key].values()) for key in differ}


def values_text(values: Sequence[Any]) -> str:
    """All values, or of many how many and from what to what."""
    if len(values) <= MOST_VALUES:
        return ", ".join(map(value_text, values))
    if all(type(value) in (int, float) for value in values):
        return f"{len(values)} values, {value_text(min(values))} to {value_text(max(values))}"
    return f"{', '.join(map(value_text, values[:MOST_VALUES]))} and {len(values) - MOST_VALUES} more"


def _shared(subject: Subject) -> Iterator[tuple[str, str]]:
    """Choices and sizes that all runs say, and the same."""
    facts = subject.runs.runs
    keys = ("model", "spectral_reg", "optimizer", "scheduler", "criterion", "data", "data.batch_size", "data.crop_size")
    for key in (*keys, "optimizer.lr", "criterion.lmbda", "max_steps", "device"):
        if key in facts and facts[key].notna().all() and len(values := facts[key].map(str).unique().tolist()) == 1:
            yield key, values[0]


def _measured_on(subject: Subject) -> Iterator[tuple[str, str, str, str]]:
    """Of each set of images its name, number and fingerprint, and how many of the runs were evaluated on it."""
    cells = {cell.signature: cell for arm in subject.arms for cell in arm.cells}
    of: dict[Images, list[str]] = {}
    for signature, images in subject.images.items():
        of.setdefault(images, []).append(signature)
    for images, names in of.items():
        digests = [pixels for *_, pixels in images]
        fingerprint = images_fingerprint(digests)[:FINGERPRINT_DIGITS] if all(digests) else "not recorded"
        yield _called(cells[names[0]]), str(len(images)), fingerprint, f"{len(names)} of {len(subject.rows)}"


def _called(cell: NamedRun) -> str:
    """The name of the images of its evaluation; "" where nothing says it."""
    try:
        folder = evaluation_of(cell)
        known = {} if folder is None else read_record(folder / EVALUATION_FILE, EvaluationResults)
    except (AnalysisError, OSError, RecordError):
        return ""
    said = known.get("images")
    return visible(str(said.get("name") or "")) if isinstance(said, dict) else ""


def environment(subject: Subject) -> Part:
    """Machines, versions and code, with how many of the runs have each."""
    begun = list(subject.rows)
    read = begun[:: max(1, len(begun) // MOST_READ)]
    found = [_environment(subject, name) for name in read]
    rows = [
        (title, "; ".join(f"{value} ({count})" if len(values) > 1 else value for value, count in values.items()))
        for title, values in _counted(found).items()
    ]
    notes = (f"read of {len(read)} of {len(begun)} runs",) if len(read) < len(begun) else ()
    table = PageTable("What the runs were made with", ("", "runs"), tuple(map(plain, rows)), notes)
    return Part("Environment", tables=(table,) if rows else ())


def _environment(subject: Subject, signature: str) -> dict[str, str]:
    row = subject.rows[signature]
    try:
        known: Mapping[str, Any] = read_record(RunFolder(row["folder"]).environment, Environment)
    except (OSError, RecordError):
        known = {}
    packages = known.get("packages") or {}
    commit = str(known.get("git_commit") or "")[:12]
    found = {
        "python": known.get("python"),
        "platform": known.get("platform"),
        "host": row.get("host"),
        "device": row.get("device"),
        **{name: packages.get(name) for name in PACKAGES},
        "code": f"{commit}{' with changes' if known.get('git_dirty') else ''}" if commit else None,
    }
    return {key: str(value) for key, value in found.items() if isinstance(value, str) and value}


def _counted(found: Sequence[Mapping[str, str]]) -> dict[str, dict[str, int]]:
    counted: dict[str, dict[str, int]] = {}
    for one in found:
        for key, value in one.items():
            counted.setdefault(key, {}).setdefault(value, 0)
            counted[key][value] += 1
    return counted


def commands(subject: Subject, own: str, at: str) -> Part:
    """What makes all of this again. own: the command of the report itself. at: its words that say where runs are."""
    lines = list(_launches(subject))
    trusted = f" --trust {shlex.join(subject.trusted)}" if subject.trusted else ""
    name = shlex.quote(subject.name)
    if subject.table is not None:
        study = subject.table.study
        chosen = f"{_choice('scale', study.scale)}{_choice('study', study.study[:STUDY_DIGITS])}"
        lines.append(f"python -m analysis ablation {study.experiment}{chosen}{at}")
    said = []
    if _is_what_its_name_means(subject):
        if subject.curves:
            beside = "".join(f" {shlex.quote(word)}" for word in subject.given)
            measured = f" --anchors {shlex.quote(','.join(subject.anchors))}" if subject.anchors else ""
            curves = f"python -m analysis rd {name}{beside}{measured} --metric {shlex.quote(subject.metric)}"
            lines.append(f"{curves}{at} --out rd.svg{trusted}")
        lines.append(f"python -m analysis plot loss {name}{at} --out loss.svg{trusted}")
    else:
        said.append(f"rd and plot take the study of {subject.name} that was launched last, which is another one")
    if _are_launched_alone(subject) and (left := len(subject.rows) - MOST_LAUNCHES) > 0:
        said.append(f"the launches of {left} more runs are not listed; `python -m lic_exp show` has each")
    return Part("Commands", tuple(said), commands=(*lines, own))


def _is_what_its_name_means(subject: Subject) -> bool:
    """Whether commands that choose no study of a table have the same runs by its name."""
    if subject.found.kind != "table":
        return True
    newest = named(subject.name, subject.place).runs
    return {(run.signature, run.evaluation) for run in newest} == {
        (run.signature, run.evaluation) for run in subject.found.runs
    }


def _are_launched_alone(subject: Subject) -> bool:
    of_a_table = subject.found.kind == "table" and subject.table is not None
    manifest = subject.manifest
    return not of_a_table and not (manifest is not None and manifest.get("given"))


def _launches(subject: Subject) -> Iterator[str]:
    if subject.found.kind == "table" and subject.table is not None:
        study = subject.table.study
        chosen = "".join(f" {shlex.quote(one)}" for one in study.overrides)
        yield f"python launch.py -m experiment={study.experiment}{_choice('scale', study.scale)}{chosen}"
        return
    manifest = subject.manifest
    if manifest is not None and manifest.get("given"):
        yield f"python launch.py -m {shlex.join(manifest['given'])}"
        return
    for name, row in list(subject.rows.items())[:MOST_LAUNCHES]:
        folder = RunFolder(row["folder"])
        try:
            overrides = read_record(folder.environment, Environment).get("overrides")
        except (OSError, RecordError):
            overrides = None
        if overrides is not None:
            yield f"python launch.py {shlex.join(overrides)}"
        else:
            place = "" if folder.root.parent == Path("runs") else f" --runs {shlex.quote(str(folder.root.parent))}"
            yield f"python -m lic_exp show {name}{place}"


def _choice(key: str, value: str | None) -> str:
    return f" {key}={value}" if value else ""
