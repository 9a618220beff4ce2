"""Everything that is known of a run, as lines for people: section by section, from its files alone."""

import json
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from lic_exp.config.errors import ConfigError
from lic_exp.config.loading import load_config
from lic_exp.flat import flatten
from lic_exp.runs.listing import bytes_in, children, summarise
from lic_exp.runs.run import Run
from lic_exp.text import age_text, size_text

LOG_LINES = 15
TROUBLE = ("failed", "diverged", "dead", "unreadable")

DAMAGED = (ValueError, KeyError, TypeError, AttributeError, OSError)
"""What reading a file raises that is not what it should be; the section says so, and the others are shown."""

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
    yield "state", run.state
    if summary.reason:
        yield "reason", str(run.status["reason"]).strip() if run.state != "unreadable" else summary.reason
    if summary.step is not None:
        yield "step", f"{summary.step} of {summary.max_steps or '?'}"
    if summary.best is not None:
        yield "best val/rd_loss", f"{summary.best:.6g}"
    if run.state == "unreadable":
        return
    status = run.status
    for key, text in (("name", summary.name), ("attempts", summary.attempts), ("device", status.get("device"))):
        if text:
            yield key, str(text)
    for key in ("started", "finished", "heartbeat"):
        if status.get(key):
            when = datetime.fromtimestamp(status[key]).astimezone()
            yield key, f"{when:%Y-%m-%d %H:%M:%S} ({age_text(time.time() - status[key])} ago)"
    yield "process", f"{status.get('pid')} on {status.get('host')}"
    if status.get("skipped"):
        yield "skipped updates", ", ".join(str(step) for step in status["skipped"])
    if summary.parent:
        yield "extends", summary.parent
    for child in children(run):
        yield "extended by", f"{child.signature} ({child.state}, step {child.step} of {child.max_steps})"


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
    try:
        for entry in run.files.metrics():
            last |= {name: (value, entry["step"]) for name, value in entry.items()}
    except DAMAGED as error:
        yield "", f"{run.files.metrics_file} is damaged: {error}"
    for name, (value, step) in last.items():
        if name not in ("step", "epoch", "time"):
            yield name, f"{_plain(value)}  (step {step})"


def _evaluations(run: Run) -> Iterator[Line]:
    for path in sorted(run.files.eval.rglob("evaluation.json")):
        place = path.parent.relative_to(run.folder)
        try:
            evaluation = json.loads(path.read_text(encoding="utf-8"))
            points = [_point(point) for point in evaluation.get("points") or [evaluation["mean"]]]
            decoding = "exact" if evaluation["exact"] else f"DIFFERS on {len(evaluation['mismatches'])} images"
        except DAMAGED as error:
            yield str(place), f"{path} is damaged: {error}"
            continue
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
    if not run.files.environment.exists():
        return
    try:
        yield from list(_environment_rows(json.loads(run.files.environment.read_text(encoding="utf-8"))))
    except DAMAGED as error:
        yield "", f"{run.files.environment} is damaged: {error}"


def _environment_rows(environment: Mapping[str, Any]) -> Iterator[Line]:
    commit = environment.get("git_commit")
    dirty = ", with uncommitted changes: git.diff" if environment.get("git_dirty") else ""
    packages = environment.get("packages", {})
    yield "git commit", f"{commit}{dirty}" if commit else "none: not run from a checkout"
    cores = environment.get("cpu_count")
    yield "python", f"{environment.get('python')} on {environment.get('platform')}, {cores} cores"
    for name in ("torch", "torchvision", "compressai", "mlflow", "lic-exp"):
        if name in packages:
            yield name, str(packages[name])
    yield "overrides", " ".join(environment.get("overrides", [])) or "none"
    yield "command", " ".join(environment.get("command", []))


def _log_end(run: Run) -> list[str]:
    return run.files.log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value)
