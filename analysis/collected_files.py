"""What of runs, tables and sweeps goes into a results folder: what `analysis` reads, nothing that names a machine."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from analysis.errors import AnalysisError
from analysis.run_points import POINT
from lic_exp.json_text import json_text
from lic_exp.records import RecordError, plain_json, read_file
from lic_exp.tracking.packed_metrics import packed, unpacked
from lic_exp.tracking.run_folder import EVALUATION_FILE, RunFolder

LEFT_OUT = (
    "checkpoints, pictures and logs of the runs, and what was not committed of their code",
    "status.json: host, process and heartbeat",
    "environment.json: the command as a process had it; overrides of tracker, paths and hydra",
    "config.yaml: the tracker, which is none here; the folder of runs, which is `runs`",
    "evaluation.json: the rows, which are those of images.csv",
    "manifests of sweeps: the folder they were launched in, the launcher and its options",
    "of every absolute path all but its last part, of every address all: put images and weights of that name where the "
    "command is given",
)

PROCESS = ("host", "pid", "ticks", "starter", "lock", "heartbeat")
"""What of status.json is of a process."""

LAUNCHED = ("folder", "path", "launcher", "launched_by", "committed")
"""What of a sweep's manifest is of the machine that launched it."""

REPLACED = {"paths": {"runs": "runs"}, "tracker": {"_target_": None}}
"""Groups of a config that say where somebody has things, and change no training."""

DROPPED_OVERRIDES = ("tracker", "paths.", "hydra.", "hydra/")

ENDS = r"\s/'\",;:()\[\]{}<>"
PLACE = re.compile(rf"(?<![\w.~/])/(?:[^{ENDS}]+/)+([^{ENDS}]*)")
ADDRESS = re.compile(r"\b[a-z][a-z0-9+.-]*:/{2,}[^\s'\"]+")


class LastParts:
    """Absolute paths by the last parts that stand for them, of which no two may be alike."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def last_part(self, path: str) -> str:
        """Raises AnalysisError where another path is called so already."""
        name = PurePosixPath(path).name
        if (other := self._known.setdefault(name, path)) != path:
            raise AnalysisError(
                f"{path} and {other} would both be called {name} in the results, and could not be told apart: "
                "give the runs relative paths, or folders of different names"
            )
        return name


def run_files(folder: Path, places: LastParts) -> dict[str, bytes]:
    """{path in the run folder: content} of what is kept. Raises RecordError, and AnalysisError of `LastParts`."""
    run, found = RunFolder(folder), dict[str, bytes]()
    status = run.status()
    host = str(status.get("host") or "")
    found["config.yaml"] = _config(run, places)
    found["status.json"] = _json({key: value for key, value in status.items() if key not in PROCESS}, host)
    _add(found, "environment.json", run.environment, _environment, host)
    _add(found, "complexity.json", run.complexity, _whole, host)
    for evaluation in [run.eval, *sorted(path.parent for path in run.eval.glob(f"*/{EVALUATION_FILE}"))]:
        inner = evaluation.relative_to(folder).as_posix()
        _add(found, f"{inner}/{EVALUATION_FILE}", evaluation / EVALUATION_FILE, _without_rows, host)
        _add(found, f"{inner}/{POINT}", evaluation / POINT, _whole, host)
        if (evaluation / "images.csv").is_file():
            found[f"{inner}/images.csv"] = read_file(evaluation / "images.csv")
    found |= {f"diagnosis/{path.name}": read_file(path) for path in sorted(run.diagnosis.glob("*.npz"))}
    if (metrics := _metrics(run)) is not None:
        found[run.packed_metrics.name] = packed(metrics)
    return found


def table_manifest(path: Path) -> bytes:
    """Raises RecordError."""
    return _json(_object(path), "")


def sweep_manifest(path: Path) -> bytes:
    """Raises RecordError."""
    return _json({key: value for key, value in _object(path).items() if key not in LAUNCHED}, "")


def without_places(text: str) -> str:
    """A text without absolute paths, of which the last part stays, and without addresses."""
    return PLACE.sub(lambda match: match[1] or "...", ADDRESS.sub("...", text))


def _add(
    found: dict[str, bytes], name: str, path: Path, change: Callable[[dict[str, Any]], dict[str, Any]], host: str
) -> None:
    if path.is_file():
        found[name] = _json(change(_object(path)), host)


def _object(path: Path) -> dict[str, Any]:
    try:
        value = plain_json(read_file(path))
    except ValueError as error:
        raise error if isinstance(error, RecordError) else RecordError(path, f"it is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise RecordError(path, "it holds no JSON object")
    return value


def _json(value: Mapping[str, Any], host: str) -> bytes:
    """host: what the machine is called, where that is known, which reasons of failures may say."""

    def plain(entry: Any) -> Any:
        if isinstance(entry, str):
            text = without_places(entry)
            return re.sub(rf"(?<!\w){re.escape(host)}(?!\w)", "...", text) if host and " on " in text else text
        if isinstance(entry, Mapping):
            return {key: plain(one) for key, one in entry.items()}
        return [plain(one) for one in entry] if isinstance(entry, list) else entry

    return (json_text(plain(value), indent=1, ensure_ascii=False) + "\n").encode(errors="backslashreplace")


def _config(run: RunFolder, places: LastParts) -> bytes:

    def plain(entry: Any) -> Any:
        if isinstance(entry, str):
            return places.last_part(entry) if entry.startswith("/") else entry
        if isinstance(entry, dict):
            return {key: plain(one) for key, one in entry.items()}
        return [plain(one) for one in entry] if isinstance(entry, list) else entry

    kept = {key: REPLACED[key] if key in REPLACED else plain(entry) for key, entry in run.plain_config().items()}
    text: str = yaml.safe_dump(kept, sort_keys=False, allow_unicode=True)
    return text.encode()


def _environment(known: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in known.items() if key not in ("command", "git_diffs")}
    if isinstance(overrides := kept.get("overrides"), list):
        kept["overrides"] = list(_overrides(overrides))
    return kept


def _overrides(given: list[Any]) -> Iterator[Any]:
    """Of a path that is all of a value, its last part stays, as in the config."""
    for text in given:
        key, equals, value = str(text).partition("=")
        if not key.lstrip("+~").startswith(DROPPED_OVERRIDES):
            yield f"{key}={PurePosixPath(value).name}" if equals and value.startswith("/") else text


def _whole(value: dict[str, Any]) -> dict[str, Any]:
    return value


def _without_rows(evaluation: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in evaluation.items() if key != "rows"}


def _metrics(run: RunFolder) -> bytes | None:
    """metrics.jsonl as it lies there, also of a run that is in a results folder already."""
    if run.metrics_file.is_file():
        return run.metrics_file.read_bytes()
    if run.packed_metrics.is_file():
        return unpacked(str(run.packed_metrics), read_file(run.packed_metrics))
    return None
