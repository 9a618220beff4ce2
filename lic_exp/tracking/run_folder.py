"""The run folder: the only record of a run that has to survive. Imports no torch.

config.yaml      the resolved, validated config
status.json      state, attempt, host, heartbeat, reason, numerics (written atomically)
environment.json packages, git commit, device (git.diff beside it when the tree was dirty)
complexity.json  parameters and MACs of the codec, part by part
metrics.jsonl    one JSON object per logged step: the truth that tracking stores project; packed in a results folder
run.log          what the run said
checkpoints/ eval/ artifacts/
diagnosis/       what each scale of the codec contributes, where that was asked for
"""

import errno
import io
import json
import logging
import math
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from lic_exp.atomic import file_system_time, write_json
from lic_exp.processes import identity
from lic_exp.records import NewerError, RecordError, open_file, plain_json, read_file, read_record
from lic_exp.tracking.kinds import STATES, Status
from lic_exp.tracking.packed_metrics import SUFFIX, unpacked
from lic_exp.yaml_files import read_yaml

SWEEPS = ".sweeps"
"""The folder beside run folders where sweeps keep their manifests."""

CONFIG_FILE, STATUS_FILE, CHECKPOINTS = "config.yaml", "status.json", "checkpoints"

EVALUATION_FILE, EVALUATION_KEY = "evaluation.json", "evaluation"
"""The results of an evaluation, and the key of its name in them; those of schema 1 have none."""

HEARTBEAT_EVERY_S = 10.0
"""How often a run that is at work says so in status.json."""

DEAD_AFTER_S = 120.0
"""After so much silence nobody is taken to run a run."""

APART_S = 600.0
"""No two clocks are taken to be further apart than this."""

SPECIAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
"""How `metrics.jsonl` has the numbers that JSON has not."""

Damaged = tuple[int, str]
"""A line of a file that is passed over: its number, from 1, and what is wrong with it."""

_log = logging.getLogger("lic_exp.tracking")


def is_run_folder(folder: Path) -> bool:
    """Whether this is a run's folder; other tools write a config.yaml too."""
    # Asked of thousands, of which making paths takes longer than looking at them.
    place = os.fspath(folder)
    return os.path.isfile(f"{place}/{CONFIG_FILE}") and (
        os.path.isfile(f"{place}/{STATUS_FILE}") or os.path.isdir(f"{place}/{CHECKPOINTS}")
    )


def is_silent(
    record: Mapping[str, Any],
    file: Path | None = None,
    *,
    after_s: float = DEAD_AFTER_S,
    held: Callable[[], bool] = lambda: False,
) -> bool:
    """Whether whoever renews the heartbeat of this record has not done so for `after_s`.

    file: that the record was read from. When it was written tells, by the clock of the file system that it lies on:
    clocks of two machines may differ, and one that is ahead must not make a heartbeat last. Without a file, as of a
    record from a store, this machine's clock tells.
    held: whether a process has the lock that the writer holds; asked where the file is new and the heartbeat of quite
    another time, as in a copy, or by a clock that is wrong by more than APART_S.
    """
    heartbeat = float(record.get("heartbeat", 0.0))
    try:
        written, now = (None, 0.0) if file is None else (file.stat().st_mtime, file_system_time(file.parent))
    except OSError:
        written = None
    if written is None:
        return not -APART_S <= time.time() - heartbeat <= after_s
    if now - written > after_s:
        return True
    return min(written, time.time()) - heartbeat > APART_S and not held()


def encode_metrics(metrics: Mapping[str, Any]) -> str:
    """One JSON line. JSON has no NaN or infinity: they are written as the strings "nan", "inf", "-inf"."""

    def plain(value: Any) -> Any:
        return repr(value) if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps({name: plain(value) for name, value in metrics.items()}, allow_nan=False) + "\n"


def decode_metrics(line: str | bytes) -> dict[str, Any]:
    """Inverse of `encode_metrics`. Raises ValueError for what is no entry: an object with a step, and only numbers."""
    try:
        entry = plain_json(line)
    except ValueError as error:
        raise ValueError(f"no JSON: {str(error).partition(' at line ')[0]}") from error
    if not isinstance(entry, dict):
        raise ValueError("no JSON object")
    for name, value in entry.items():
        kind = type(value)
        if kind is str and value in SPECIAL:
            entry[name] = SPECIAL[value]
        elif kind is not float and not (kind is int and abs(value) < 2**63):
            raise ValueError(f"{json.dumps(value)[:40]} as {name[:80]}")
    step = entry.get("step")
    if not isinstance(step, int) or step < 0:
        raise ValueError("no step" if step is None else f"{step} as step")
    for name in ("epoch", "time"):
        if not math.isfinite(entry.get(name, 0)):
            raise ValueError(f"{entry[name]} as {name}")
    return entry


def damage_text(path: Path, damaged: list[Damaged]) -> str:
    """What to say of a file with such lines."""
    said = [f"line {number} ({reason})" for number, reason in damaged[:MOST_NAMED]]
    more = len(damaged) - MOST_NAMED
    count = "1 damaged line is" if len(damaged) == 1 else f"{len(damaged)} damaged lines are"
    return f"{path}: {count} passed over: {', '.join([*said, *([f'and {more} more'] if more > 0 else [])])}"


MOST_NAMED = 5

STEP = re.compile(r"step_(\d+)\.pt")


def step_of(checkpoint: Path) -> int:
    """Of a step checkpoint: how many steps were done."""
    return int(checkpoint.stem.removeprefix("step_"))


def step_checkpoints(folder: Path) -> list[Path]:
    """The step checkpoints in a folder, oldest first; what people put beside them, such as step_old.pt, is none."""
    found = [(int(match[1]), path) for path in folder.glob("step_*.pt") if (match := STEP.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def passing_checkpoints(checkpoints: Sequence[Path], keep_every: int | None) -> list[Path]:
    """Those of `step_checkpoints` that are not after a multiple of so many steps; all where that is None."""
    steps = {path: int(match[1]) for path in checkpoints if (match := STEP.fullmatch(path.name))}
    return [path for path, step in steps.items() if not keep_every or step % keep_every]


class RunFolder:
    """Paths and atomic files of one run; the folder's name is the run's signature."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.config = self.root / CONFIG_FILE
        self.status_file = self.root / STATUS_FILE
        self.environment = self.root / "environment.json"
        self.complexity = self.root / "complexity.json"
        self.metrics_file = self.root / "metrics.jsonl"
        self.packed_metrics = self.root / f"metrics.jsonl{SUFFIX}"
        self.log = self.root / "run.log"
        self.checkpoints = self.root / CHECKPOINTS
        self.eval = self.root / "eval"
        self.artifacts = self.root / "artifacts"
        self.diagnosis = self.root / "diagnosis"
        self._status_lock = threading.Lock()
        self._written: Mapping[str, Any] = {}

    @property
    def signature(self) -> str:
        return self.root.name

    def create(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        for folder in (self.checkpoints, self.eval, self.artifacts):
            folder.mkdir(exist_ok=True)

    def make(self, folder: Path) -> None:
        """Make a folder in the run folder, which must be there: once it was deleted, no part of it comes back."""
        inner = folder.relative_to(self.root)
        for part in [*reversed(inner.parents), inner][1:]:
            (self.root / part).mkdir(exist_ok=True)

    def plain_config(self) -> dict[str, Any]:
        """config.yaml, {} where there is none. Raises RecordError where it is damaged."""
        try:
            config = read_yaml(self.config)
        except FileNotFoundError:
            return {}
        if not isinstance(config, dict):
            raise RecordError(self.config, "it holds no config")
        return config

    def status(self) -> dict[str, Any]:
        """The last written status, or {} where the run was never started.

        Raises RecordError where it is damaged, NewerError where a newer version of this package has written it.
        """
        try:
            return dict(read_record(self.status_file, Status))
        except FileNotFoundError:
            return {}

    def status_if_whole(self) -> dict[str, Any]:
        """`status`, or {} where that cannot be read either: then nothing is known of it."""
        try:
            return self.status()
        except RecordError:
            return {}

    def update_status(self, **changes: Any) -> dict[str, Any]:
        """Merge `changes` into status.json, with this process's `lic_exp.processes.identity` and heartbeat [Unix s].

        A number that is not finite, such as the best of a run that was not validated yet, becomes null. Who has written
        it before writes it anew where it was damaged or deleted since; others get RecordError. Raises FileNotFoundError
        where there is no folder, which is not made anew.
        """
        own = identity(os.getpid()) | {"heartbeat": time.time()}
        with self._status_lock:
            if not self.root.is_dir():
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.root))
            status = self._status_to_update() | own | changes
            if status.get("state") not in STATES:
                raise ValueError(f"state {status.get('state')!r} is none of {', '.join(STATES)}")
            write_json(self.status_file, status)
            self._written = status
        return status

    def _status_to_update(self) -> dict[str, Any]:
        try:
            found = self.status()
        except NewerError:
            raise
        except RecordError as error:
            if not self._written:
                raise
            _log.warning("%s; it is written anew", error)
            return dict(self._written)
        if self._written and not found:
            _log.warning("%s was deleted; it is written anew", self.status_file)
        return found or dict(self._written)

    def metrics(self, damaged: list[Damaged] | None = None) -> Iterator[dict[str, Any]]:
        """The logged entries in order; an unfinished last line is not yet an entry.

        Lines that are none are passed over and appended to `damaged`; without such a list a warning names them.
        Raises RecordError where the file itself cannot be read.
        """
        found: list[Damaged] = [] if damaged is None else damaged
        try:
            file = self._open_metrics()
        except FileNotFoundError:
            return
        with file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    break
                try:
                    entry = decode_metrics(line)
                except ValueError as error:
                    found.append((number, str(error)))
                else:
                    yield entry
        if found and damaged is None:
            _log.warning("%s", damage_text(self.metrics_file, found))

    def _open_metrics(self) -> BinaryIO:
        """Raises FileNotFoundError where there are none, packed or not, and RecordError."""
        try:
            return open_file(self.metrics_file)
        except FileNotFoundError:
            return io.BytesIO(unpacked(str(self.packed_metrics), read_file(self.packed_metrics)))
