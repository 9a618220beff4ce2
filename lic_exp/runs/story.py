"""Everything that is known of a run, as lines for people: section by section, from its files alone."""

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from lic_exp.config.errors import ConfigError
from lic_exp.config.loading import load_config
from lic_exp.flat import flatten
from lic_exp.records import RecordError, open_file, read_record
from lic_exp.runs.listing import bytes_in, children, summarise
from lic_exp.runs.run import Run
from lic_exp.runs.staleness import code_text, has_begun
from lic_exp.text import age_text, size_text
from lic_exp.tracking.kinds import CodeFacts, Environment, EvaluationResults, Numerics
from lic_exp.tracking.numerics import changes, record_text
from lic_exp.tracking.run_folder import Damaged, damage_text
from lic_exp.tracking.sweep_labels import labels_of_runs

LOG_LINES, LOG_BYTES = 15, 20_000
TROUBLE = ("failed", "diverged", "dead", "unreadable", "newer")

Line = tuple[str, str]
"""A key and its text; without a key a plain line."""


def story(run: Run) -> Iterator[tuple[str, list[Line]]]:
    """(title, rows) of every section. Raises ConfigError where the run's config cannot be read."""
    sections = {
        "status": _status,
        "differs from the defaults": _differences,
        "last metrics": _last_metrics,
        "evaluation, means": _evaluations,
        "files": _files,
        "environment": _environment,
    }
    for title, rows in sections.items():
        yield title, list(rows(run))
    if run.state in TROUBLE and run.files.log.exists():
        yield f"end of {run.files.log.name}", [("", line) for line in _log_end(run)]


def _status(run: Run) -> Iterator[Line]:
    """State and progress, then whatever else status.json holds."""
    summary = summarise(run.folder)
    yield "state", summary.state
    known = summary.state not in ("unreadable", "newer")
    status = run.status if known else {}
    if summary.reason:
        reason = str(status.get("reason") or "").strip() or summary.reason
        for number, line in enumerate(reason.splitlines()):
            yield " " if number else "reason", line
    if summary.step is not None:
        yield "step", f"{summary.step} of {summary.max_steps or '?'}"
    if summary.best is not None:
        yield "best val/rd_loss", f"{summary.best:.6g}"
    if not known:
        return
    facts = {
        "code": code_text(status) if has_begun(status) else "",
        "name": summary.name,
        "label": labels_of_runs(run.folder.parent).get(run.signature),
        "attempts": summary.attempts,
    }
    for key, text in (facts | {"device": status.get("device")}).items():
        if text:
            yield key, str(text)
    yield from _numerics(status.get("numerics", ()))
    for key in ("started", "finished", "heartbeat"):
        if status.get(key):
            when = datetime.fromtimestamp(status[key]).astimezone()
            ago = time.time() - status[key]
            relative = f"{age_text(ago)} ago" if ago >= 0 else f"{age_text(-ago)} ahead of the clock here"
            yield key, f"{when:%Y-%m-%d %H:%M:%S} ({relative})"
    yield "process", f"{status.get('pid')} on {status.get('host')}"
    if status.get("skipped"):
        yield "skipped updates", ", ".join(str(step) for step in status["skipped"])
    if summary.parent:
        yield "extends", summary.parent
    for child, does in children(run):
        yield (
            "extended by" if does == "extends" else "start of",
            f"{child.signature} ({child.state}, step {child.step} of {child.max_steps})",
        )


def _numerics(history: Sequence[Numerics]) -> Iterator[Line]:
    """With what it was trained, and what is to be said of that."""
    for number, record in enumerate(history):
        begins = f"after step {record['from_step']}: " if record["from_step"] else ""
        yield " " if number else "numerics", f"{begins}{record_text(record)}"
    for number, change in enumerate(changes(history)):
        yield " " if number else "elsewhere", change


def _differences(run: Run) -> Iterator[Line]:
    """`key: value (default: value)` for every key that the defaults have otherwise or not at all."""
    config = flatten(run.plain_config)
    try:
        default = flatten(load_config([]).plain())
    except ConfigError as error:
        yield "", f"the defaults cannot be composed: {error}"
        return
    for key, value in config.items():
        if key not in default:
            yield key, value
        elif value != default[key]:
            yield key, f"{value}  (default: {default[key]})"


def _last_metrics(run: Run) -> Iterator[Line]:
    last: dict[str, tuple[Any, int]] = {}
    damaged: list[Damaged] = []
    try:
        for entry in run.files.metrics(damaged):
            last |= {name: (value, entry["step"]) for name, value in entry.items()}
    except (RecordError, OSError) as error:
        yield "", str(error)
    if damaged:
        yield "", damage_text(run.files.metrics_file, damaged)
    for name, (value, step) in last.items():
        if name not in ("step", "epoch", "time"):
            yield name, f"{_plain(value)}  (step {step})"


def _evaluations(run: Run) -> Iterator[Line]:
    made_by = run.files.status_if_whole().get("code") or []
    for path in sorted(run.files.eval.rglob("evaluation.json")):
        place = path.parent.relative_to(run.folder)
        try:
            evaluation = read_record(path, EvaluationResults)
        except (FileNotFoundError, RecordError) as error:
            yield str(place), str(error)
            continue
        points = [_point(point) for point in evaluation.get("points") or [evaluation.get("mean", {})]]
        decoding = "exact" if evaluation.get("exact") else f"DIFFERS on {len(evaluation.get('mismatches', ()))} images"
        if "code" in evaluation and evaluation["code"] not in made_by:
            decoding += "  by other code than it was trained by"
        if changed := evaluation.get("images_changed"):
            decoding += f"  CHANGED meanwhile: {len(changed)} images, so these numbers count as nobody's"
        for i, point in enumerate(points):
            # A key without text would be taken for a plain line.
            yield " " if i else str(place), point if i < len(points) - 1 else f"{point}  decoding {decoding}"


def _point(means: Mapping[str, Any]) -> str:
    """The means of one rate."""
    return "  ".join(f"{name} {_plain(value)}" for name, value in means.items() if value is not None)


def _files(run: Run) -> Iterator[Line]:
    """Checkpoints one by one; of other folders their size."""
    for path in sorted(run.folder.iterdir()):
        inside = sorted(path.iterdir()) if path.is_dir() else []
        if path.name == "checkpoints":
            for checkpoint in inside:
                yield f"checkpoints/{checkpoint.name}", size_text(bytes_in(checkpoint))
        elif inside or path.is_file():
            count = f" in {len(inside)} files" if inside else ""
            yield path.name + ("/" if inside else ""), f"{size_text(bytes_in(path))}{count}"


def _environment(run: Run) -> Iterator[Line]:
    try:
        environment = read_record(run.files.environment, Environment)
    except FileNotFoundError:
        return
    except RecordError as error:
        yield "", str(error)
        return
    yield "git commit", _commit_text(environment)
    for name, facts in environment.get("plugins", {}).items():
        yield f"git commit of {name}", _commit_text(facts)
    packages = environment.get("packages", {})
    cores = environment.get("cpu_count")
    yield "python", f"{environment.get('python')} on {environment.get('platform')}, {cores} cores"
    for name in ("torch", "torchvision", "compressai", "mlflow", "lic-exp"):
        if name in packages:
            yield name, str(packages[name])
    yield "overrides", " ".join(environment.get("overrides", [])) or "none"
    yield "command", " ".join(environment.get("command", []))


def _commit_text(facts: CodeFacts) -> str:
    """Of a package: its commit, and whether that is all; runs of earlier versions do not say why it is not known."""
    why = facts.get("git_problem") or "not run from a checkout"
    if not facts.get("git_commit"):
        return f"not known: {why}"
    dirty = facts.get("git_dirty")
    text = f"{facts['git_commit']}{', with uncommitted changes: git.diff' if dirty else ''}"
    if dirty is None:
        text += f", uncommitted changes not known: {why}"
    return text + (f", without {', '.join(left)}" if (left := facts.get("git_left_out")) else "")


def _log_end(run: Run) -> list[str]:
    """The last lines, of a log that may be of any length."""
    try:
        with open_file(run.files.log) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_BYTES))
            return file.read().decode(errors="replace").splitlines()[-LOG_LINES:]
    except (RecordError, OSError) as error:
        return [str(error)]


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value)
