"""Codecs run over photos: side by side, each measurement once, and what is known already not again."""

import hashlib
import inspect
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from analysis.errors import AnalysisError
from analysis.measured.codec import AnchorCodec, AnchorError
from analysis.measured.colours import Picture, conversion_error
from analysis.measured.photos import Photo, PhotoSet, kept_file
from lic_exp.data import digest_store
from lic_exp.data.fingerprints import file_sha256
from lic_exp.image_identity import Pictured
from lic_exp.json_text import json_text
from lic_exp.picture_metrics import PictureMetric, PictureMetricError
from lic_exp.processes import usable_cores
from lic_exp.records import plain_json

FORMAT = 1
"""Count up when the same codec and picture would be measured to other numbers than before."""


class Measurement(NamedTuple):
    """One photo by one codec at one quality.

    data_bytes: all that would be stored; container_bytes: those of them that are a file format's around the bitstream.
    conversion: `conversion_error` of its colours. values: by the metrics' names.
    """

    photo: str
    height: int
    width: int
    quality: float
    data_bytes: int
    container_bytes: int
    conversion: float
    values: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Task:
    """A photo that a codec is to code at a quality, and the metrics that are wanted of it. version: the codec's."""

    codec: AnchorCodec
    version: str
    quality: float
    photo: Photo
    pictured: Pictured
    metrics: Sequence[PictureMetric]

    def key(self, metric: PictureMetric) -> bytes:
        what = (FORMAT, self.pictured.pixels, self.codec.command(self.quality), self.version, _identity(metric))
        return hashlib.blake2b(repr(what).encode(), digest_size=16).digest()


def measure(
    codecs: Mapping[str, tuple[AnchorCodec, Sequence[float]]],
    photos: PhotoSet,
    metrics: Sequence[PictureMetric],
    *,
    workers: int | None = None,
    progress: "Callable[[str, int, int], None]" = lambda codec, done, total: None,
) -> dict[str, list[Measurement]]:
    """{codec: its measurements, by quality as they are given, and by photo in their order}.

    codecs: by name, with the qualities of each. workers: how many work at a time; None: one per usable core.
    progress: is told each time that one more of so many of a codec is there.
    Raises AnchorError that names the photo, after what was measured has been kept.
    """
    tasks = [
        Task(codec, version, quality, photo, pictured, metrics)
        for codec, version, qualities in ((codec, codec.version(), qualities) for codec, qualities in codecs.values())
        for quality in qualities
        for photo, pictured in zip(photos.photos, photos.pictured, strict=True)
    ]
    found = _known(tasks)
    done = {name: sum(task in found for task in tasks if task.codec is codec) for name, (codec, _) in codecs.items()}
    totals = {name: len(qualities) * len(photos.photos) for name, (_, qualities) in codecs.items()}
    for name, count in done.items():
        progress(name, count, totals[name])
    # The slowest codecs first, so that no core waits for the last of them alone.
    waiting = [task for task in reversed(tasks) if task not in found]
    for task, measurement in _measured(waiting, workers or usable_cores()):
        found[task] = measurement
        done[task.codec.name] += 1
        progress(task.codec.name, done[task.codec.name], totals[task.codec.name])
    return {name: [found[task] for task in tasks if task.codec is codec] for name, (codec, _) in codecs.items()}


def why_not(codec: AnchorCodec) -> str | None:
    """Why a codec that is here cannot code after all, found by coding a small picture once; None where it can.

    Another build of a library may lack what the command asks for.
    """
    command = codec.command(codec.qualities[0])
    key = hashlib.blake2b(repr(("works", FORMAT, command, codec.version())).encode(), digest_size=16).digest()
    if key in digest_store.read([key], file=kept_file()):
        return None
    picture = np.tile(np.arange(0, 256, 4, dtype=np.uint8)[:, None, None], (1, 64, 3))
    try:
        codec.code(picture, codec.qualities[0])
    except AnchorError as error:
        return str(error)
    digest_store.write({key: b"yes"}, file=kept_file())
    return None


def _measured(tasks: Sequence[Task], workers: int) -> Iterator[tuple[Task, Measurement]]:
    """Each as it is done, and kept. The work is in libraries and programs that let other threads run."""
    if not tasks:
        return
    executor = ThreadPoolExecutor(min(workers, len(tasks)))
    try:
        running = {executor.submit(_measure_and_keep, task): task for task in tasks}
        for future in as_completed(running):
            yield running[future], future.result()
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _measure_and_keep(task: Task) -> Measurement:
    found = _measure(task)
    _keep(task, found)
    return found


def _measure(task: Task) -> Measurement:
    picture = task.photo.load()
    try:
        coded = task.codec.code(picture, task.quality)
        if coded.decoded.shape != picture.shape:
            raise AnchorError(f"{task.codec.command(task.quality)}: it gave a picture of another size")
        values = {metric.name: _value(metric, picture, coded.decoded) for metric in task.metrics}
        conversion = conversion_error(picture, task.codec.conversion)
    except AnalysisError as error:
        raise AnchorError(f"{task.codec.name}, {task.photo.name}: {error}") from error
    height, width = picture.shape[:2]
    return Measurement(
        task.photo.name, height, width, task.quality, len(coded.data), coded.container, conversion, values
    )


def _value(metric: PictureMetric, picture: Picture, decoded: Picture) -> float:
    """Raises AnchorError for whatever a function of the user's own raises."""
    try:
        return metric.of(picture, decoded)
    except MemoryError:
        raise
    except Exception as error:
        said = str(error) if isinstance(error, PictureMetricError) else f"{type(error).__name__}: {error}"
        raise AnchorError(f"metric {metric.name}: {said}") from error


def _known(tasks: Sequence[Task]) -> dict[Task, Measurement]:
    """What was measured before with all that is wanted."""
    keys = {task: [task.key(metric) for metric in task.metrics] for task in tasks}
    kept = digest_store.read([key for own in keys.values() for key in own], file=kept_file())
    found = {}
    for task, own in keys.items():
        if own and all(key in kept for key in own):
            entries: list[Any] = [plain_json(kept[key]) for key in own]
            data_bytes, container_bytes, conversion, _ = entries[0]
            values = {metric.name: float(entry[3]) for metric, entry in zip(task.metrics, entries, strict=True)}
            size = task.pictured.height, task.pictured.width
            found[task] = Measurement(
                task.photo.name, *size, task.quality, data_bytes, container_bytes, float(conversion), values
            )
    return found


def _keep(task: Task, found: Measurement) -> None:
    size = found.data_bytes, found.container_bytes, found.conversion
    digest_store.write(
        {
            # A text, because JSON has no infinity and no NaN.
            task.key(metric): json_text([*size, repr(found.values[metric.name])]).encode()
            for metric in task.metrics
        },
        file=kept_file(),
    )


def _identity(metric: PictureMetric) -> str:
    """What a metric's values hang on: of one of the user's own, the file that it is in."""
    if ":" not in metric.name:
        return metric.name
    try:
        return f"{metric.name} {file_sha256(inspect.getfile(metric.defined_by))}"
    except (TypeError, OSError):  # not of a file: not to be recognised, so measured anew
        return f"{metric.name} {time.time_ns()}"
