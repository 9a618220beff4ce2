"""Images that change while a run works with them: it bears the name of those that there were. Imports no torch."""

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from lic_exp.atomic import write_json
from lic_exp.config.errors import ConfigError
from lic_exp.config.schema import RunConfig
from lic_exp.config.signing import (
    data_fingerprint,
    evaluation_name,
    image_sets,
    images_of,
    separate_fingerprint,
    separate_key,
)
from lic_exp.data.fingerprints import differences, fingerprint, touched
from lic_exp.data.images import ImageError, ImageRef, SourceImage
from lic_exp.data.preflight import cache_for, shows_the_same
from lic_exp.data.unchanged import looked_at_anew
from lic_exp.records import RecordError, read_record
from lic_exp.tracking.kinds import EvaluationResults
from lic_exp.tracking.run_folder import EVALUATION_FILE, EVALUATION_KEY, RunFolder

log = logging.getLogger("lic_exp.runs")

MOST_NAMED = 20

MOST_TOUCHED = 1000
"""Images that are decoded to see whether they changed; whoever touches all of ImageNet shall not wait for hours."""

RECORD = "images_changed.json"
"""In a run's artifacts: which images changed while it trained."""

MARK = "images_changed"
"""The key of the same in the results of an evaluation."""

TABLES = ("images.csv", "rd_point.json")
"""Results that have no room for a mark, and would be taken for those of a run."""


def check_trained(config: RunConfig, run: RunFolder, wanted: str | None) -> None:
    """Raise ImageError, naming them, where images are no longer those that a run got its name from.

    wanted: the name of the evaluation that it has just had too, or None; of either's results the images are marked.
    Only files are opened whose size, times or inode differ, and one that was touched but shows what it showed is no
    change.
    """
    with looked_at_anew():
        signed = _changes(
            config.signature,
            {label: partial(data_fingerprint, data) for label, data in image_sets(config).items()},
            run,
        )
        evaluated, names = _of_evaluation(config, wanted, run)
    if not (changed := [*signed, *evaluated]):
        return
    if signed:
        write_json(run.artifacts / RECORD, signed)
    _mark_named(run, names, changed)
    advice = _advice(run) if signed else "Put them back, or give the command again to evaluate what is there now"
    raise ImageError(f"images changed while the run worked with them: {_some(changed)}. {advice}")


def check_evaluated(config: RunConfig, run: RunFolder, wanted: str | None, seen: Sequence[str]) -> None:
    """The same after an evaluation alone. seen: what changed of the very images that were evaluated."""
    with looked_at_anew():
        evaluated, names = _of_evaluation(config, wanted, run)
    if changed := list(dict.fromkeys([*seen, *evaluated])):
        _mark_named(run, names, changed)
        raise ImageError(f"images changed while they were evaluated: {_some(changed)}. Give the command again")


def _of_evaluation(config: RunConfig, wanted: str | None, run: RunFolder) -> tuple[list[str], set[str]]:
    """What is no longer as it was of separate images, and the names that results may have got meanwhile."""
    if wanted is None:
        return [], set()
    changed = _changes(wanted, {separate_key(config): partial(separate_fingerprint, config)}, run)
    try:
        return changed, {wanted, evaluation_name(config)}
    except ConfigError:  # they are gone
        return changed, {wanted}


def _mark_named(run: RunFolder, names: set[str], changed: list[str]) -> None:
    for file in [run.eval / EVALUATION_FILE, *run.eval.glob(f"*/{EVALUATION_FILE}")]:
        with suppress(FileNotFoundError, RecordError):  # results that nobody can read are nobody's already
            if read_record(file, EvaluationResults).get("evaluation") in names:
                _mark(file, changed)


def check_beginning(run: RunFolder, *, anew: bool) -> None:
    """Of a run that begins anew forget which images changed before; raise ImageError where one goes on that did."""
    record = run.artifacts / RECORD
    if anew:
        record.unlink(missing_ok=True)
    elif record.exists():
        try:
            changed = read_record(record, list[str])
        except RecordError as error:
            changed = [f"which ones is lost, since {error}"]
        raise ImageError(f"images changed while it trained earlier: {_some(changed)}. {_advice(run)}")


def seen_before(images: Iterable[SourceImage]) -> str:
    """The fingerprint of those images that are files, to be given to `mark_changed`."""
    return fingerprint([image for image in images if isinstance(image, ImageRef) and os.path.isfile(image.path)])


def mark_changed(images: Iterable[SourceImage], before: str, folder: Path) -> list[str]:
    """What changed of images since `seen_before`; where anything did, the results in the folder are marked."""
    after = seen_before(images)
    if after == before:
        for name in TABLES:  # those of an evaluation before this one
            _put_aside(folder / name).unlink(missing_ok=True)
        return []
    changed = differences(before, after)
    _mark(folder / EVALUATION_FILE, changed)
    log.warning("images changed while they were evaluated: %s", _some(changed))
    return changed


def _changes(name: str | None, now: Mapping[str, Callable[[], str | None]], run: RunFolder) -> list[str]:
    """What is no longer as it was when a name was made. now: {what the images are called: their fingerprint}."""
    found: list[str] = []
    for label, before in images_of.get(name or "", {}).items():
        try:
            after = now[label]()
        except ConfigError as error:
            found += error.messages
            continue
        if after != before:
            found += differences(before, after or "") or [f"{label}: not what it was"]
        else:
            found += _changed_within(before, cache_for(run.root.parent))
    return list(dict.fromkeys(found))


def _changed_within(taken: str, cache: Path | None) -> list[str]:
    """Images that were touched and have other pixels than were seen before the training, though the same ends."""
    found, unknown = [], []
    for place, (image, before) in enumerate(touched(taken)):
        same = shows_the_same(image, before, cache) if place < MOST_TOUCHED else None
        if same is None:
            unknown.append(f"{image}")
        elif not same:
            found.append(f"{image} changed")
    if unknown:
        log.warning("touched meanwhile, with the same size and ends, and not looked at again: %s", _some(unknown))
    return found


def _mark(file: Path, changed: list[str]) -> None:
    """Write into the results that their images changed, and put their tables aside: they count as nobody's."""
    content = read_record(file, EvaluationResults)
    kept = {key: value for key, value in content.items() if key != EVALUATION_KEY}
    write_json(file, kept | {MARK: sorted({*content.get("images_changed", []), *changed})})
    for name in TABLES:
        if (file.parent / name).exists():
            os.replace(file.parent / name, _put_aside(file.parent / name))


def _put_aside(table: Path) -> Path:
    return table.with_stem(f"{table.stem}_changed")


def _some(changed: list[str]) -> str:
    more = f", and {len(changed) - MOST_NAMED} more" if len(changed) > MOST_NAMED else ""
    return ", ".join(changed[:MOST_NAMED]) + more


def _advice(run: RunFolder) -> str:
    return (
        f"Its checkpoints are kept in {run.checkpoints}. Put the images back and begin it anew with "
        "trainer.resume=never; as they are now, they are another run's"
    )
