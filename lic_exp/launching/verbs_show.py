"""`show`: one run's whole story."""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lic_exp.launching.errors import ConfigError
from lic_exp.launching.verbs import add_run, age_text, size_text

if TYPE_CHECKING:
    from rich.console import Console

    from lic_exp.launching.run import Run
    from lic_exp.launching.verbs import Verbs

LOG_LINES = 15
TROUBLE = ("failed", "diverged", "dead", "unreadable")


def add_parser(verbs: "Verbs") -> None:
    parser = verbs.add_parser(
        "show",
        help="one run's whole story: status, config, metrics, evaluation, files, environment, log",
        description="Everything known of a run. Of its config, only what differs from the defaults.",
    )
    add_run(parser)
    parser.set_defaults(verb=_show)


def _show(options: argparse.Namespace) -> int:
    from lic_exp.launching.run import find_run
    from lic_exp.launching.summary import console_for

    run = find_run(options.run, options.runs)
    console = console_for(sys.stdout)
    console.print(f"run {run.signature} in {run.folder}", style="bold", markup=False, highlight=False, soft_wrap=True)
    sections = (
        ("status", _status(run)),
        ("differs from the defaults", _differences(run)),
        ("last metrics", _last_metrics(run)),
        ("evaluation, means", _evaluations(run)),
        ("files", _files(run)),
        ("environment", _environment(run)),
    )
    for title, rows in sections:
        _print_section(title, list(rows), console)
    if run.state in TROUBLE and run.files.log.exists():
        _print_section(f"end of {run.files.log.name}", [("", line) for line in _tail(run)], console)
    return 0


def _print_section(title: str, rows: Sequence[tuple[str, str]], console: "Console") -> None:
    """Rows of a key and a text, which goes on below, indented, where it is long; without a key, plain lines."""
    from rich.table import Table
    from rich.text import Text

    if not rows:
        return
    console.print(f"\n{title}", style="bold", markup=False, highlight=False)
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for key, text in rows:
        if key:
            grid.add_row(Text(key, style="dim"), Text(text))
        else:
            console.print(Text(text), soft_wrap=True)
    console.print(grid)


def _status(run: "Run") -> Iterator[tuple[str, str]]:
    """State and progress, then whatever else status.json holds."""
    from lic_exp.launching.listing import children, summarise

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


def _differences(run: "Run") -> Iterator[tuple[str, str]]:
    """`key: value (default: value)` for every key that the defaults have otherwise or not at all."""
    from lic_exp.launching.compose import compose
    from lic_exp.launching.overrides import parse
    from lic_exp.launching.validation import validate
    from lic_exp.tracking.mlflow_store import flatten

    config = flatten(run.config)
    try:
        default = flatten(validate(compose(parse([]))))
    except ConfigError as error:
        yield "", f"the defaults cannot be composed: {error}"
        return
    for key, value in config.items():
        if key not in default:
            yield key, value
        elif value != default[key]:
            yield key, f"{value}  (default: {default[key]})"


def _last_metrics(run: "Run") -> Iterator[tuple[str, str]]:
    last: dict[str, tuple[Any, int]] = {}
    try:
        for entry in run.files.metrics():
            last |= {name: (value, entry["step"]) for name, value in entry.items()}
    except (ValueError, KeyError) as error:
        yield "", f"{run.files.metrics_file} is damaged: {error}"
    for name, (value, step) in last.items():
        if name not in ("step", "epoch", "time"):
            yield name, f"{_plain(value)}  (step {step})"


def _evaluations(run: "Run") -> Iterator[tuple[str, str]]:
    for path in sorted(run.files.eval.rglob("evaluation.json")):
        place = path.parent.relative_to(run.folder)
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            points = [_point(point) for point in found.get("points") or [found["mean"]]]
            decoding = "exact" if found["exact"] else f"DIFFERS on {len(found['mismatches'])} images"
        except (ValueError, KeyError, TypeError) as error:
            yield str(place), f"{path} is damaged: {error}"
            continue
        for i, point in enumerate(points):
            # A key without text would be taken for a plain line.
            yield " " if i else str(place), point if i < len(points) - 1 else f"{point}  decoding {decoding}"


def _point(means: Mapping[str, Any]) -> str:
    """The means of one rate."""
    return "  ".join(f"{name} {_plain(value)}" for name, value in means.items() if value is not None)


def _files(run: "Run") -> Iterator[tuple[str, str]]:
    """Checkpoints one by one; of other folders their size."""
    from lic_exp.launching.listing import bytes_in

    for path in sorted(run.folder.iterdir()):
        inside = sorted(path.iterdir()) if path.is_dir() else []
        if path.name == "checkpoints":
            for checkpoint in inside:
                yield f"checkpoints/{checkpoint.name}", size_text(bytes_in(checkpoint))
        elif inside or path.is_file():
            count = f" in {len(inside)} files" if inside else ""
            yield path.name + ("/" if inside else ""), f"{size_text(bytes_in(path))}{count}"


def _environment(run: "Run") -> Iterator[tuple[str, str]]:
    if not run.files.environment.exists():
        return
    try:
        found: Mapping[str, Any] = json.loads(run.files.environment.read_text(encoding="utf-8"))
    except ValueError as error:
        yield "", f"{run.files.environment} is damaged: {error}"
        return
    commit = found.get("git_commit")
    dirty = ", with uncommitted changes: git.diff" if found.get("git_dirty") else ""
    packages = found.get("packages", {})
    yield "git commit", f"{commit}{dirty}" if commit else "none: not run from a checkout"
    yield "python", f"{found.get('python')} on {found.get('platform')}, {found.get('cpu_count')} cores"
    for name in ("torch", "torchvision", "compressai", "mlflow", "lic-exp"):
        if name in packages:
            yield name, packages[name]
    yield "overrides", " ".join(found.get("overrides", [])) or "none"
    yield "command", " ".join(found.get("command", []))


def _tail(run: "Run") -> list[str]:
    return run.files.log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value)
