"""Where complexity is counted: of a configured codec that nobody needs otherwise, and of a run's own."""

import hashlib
import json
import logging
import sys
from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lic_exp.atomic import write_json
from lic_exp.config.errors import ConfigError
from lic_exp.config.instantiation import instantiate
from lic_exp.config.schema import RunConfig
from lic_exp.data import digest_store
from lic_exp.evaluation.complexity import Complexity, PartCost, complexity
from lic_exp.models.base import Codec
from lic_exp.private_torch import without_values
from lic_exp.runs.code_known import as_first_seen, key_of
from lic_exp.runs.modules_read import is_library
from lic_exp.source_text import OURS
from lic_exp.tracking.run_folder import RunFolder

log = logging.getLogger("lic_exp.runs")


def complexity_of(config: RunConfig, size: tuple[int, int] | None = None) -> Complexity:
    """What the configured codec costs; its weights are never allocated.

    size: (height, width), or None for the usual one. Raises ConfigError for a size that the codec does not take.
    """
    with without_values():
        codec: Codec = instantiate(config.model.component, "model")
    try:
        return complexity(codec, *(size or ()))
    except ValueError as error:
        raise ConfigError([str(error)]) from error


FORM = "complexity 2"
"""Of what is kept of counts, with a number that counts its versions."""


def record_complexity(codec: Codec, run: RunFolder, config: RunConfig) -> Complexity | None:
    """Write the run's complexity.json. A codec that cannot be counted trains all the same: run.log says why.

    config: what it was built from. Where all of its code is this package's or an installed one's, it is counted once,
    and looked up from then on, until one of these is changed: counting may take longer than a short training.
    """
    try:
        key = _key(codec, config)
        found = _known(key) if key else None
        if found is None:
            found = complexity(codec)
            if key and key == _key(codec, config):  # nothing was changed meanwhile
                digest_store.write({key: json.dumps(asdict(found)).encode()})
    except Exception as error:
        log.warning("no complexity.json, since counting failed: %s: %s", type(error).__name__, error, exc_info=True)
        return None
    write_json(run.complexity, found.to_dict())
    return found


def _key(codec: Codec, config: RunConfig) -> bytes | None:
    """What names the counts of a codec; None where code is in it that nothing names, or other code than on disk."""
    now = None if config.plugins else as_first_seen()
    if now is None:
        return None
    modules = {kind.__module__ for module in codec.modules() for kind in type(module).__mro__}
    packages = {module.partition(".")[0] for module in modules} - {OURS, *sys.stdlib_module_names}
    if not all(map(is_library, packages)):
        return None
    try:
        named = [_named(package, modules) for package in sorted(packages | {"torch"})]
    except (KeyError, OSError):
        return None
    return key_of([FORM, *named, json.dumps(config.model.plain(), sort_keys=True)], now)


def _named(package: str, modules: Collection[str]) -> str:
    """An installed package by its version and by what its source files hold, since whoever edits one keeps its version.

    Of torch, which has thousands, only those of these modules. Raises KeyError, OSError where there are none.
    """
    own = modules if package == "torch" else (package,)
    files: set[Path] = set()
    for name in own:
        if name.partition(".")[0] == package:
            place = Path(sys.modules[name].__file__ or "")
            is_whole = place.name == "__init__.py" and package != "torch"
            files |= set(place.parent.rglob("*.py")) if is_whole else {place}
    found = hashlib.sha256()
    for file in sorted(files):
        content = file.read_bytes()
        found.update(f"{file.name} {len(content)} ".encode() + content)
    with suppress(PackageNotFoundError):  # one whose distribution has another name
        return f"{package} {version(package)} {found.hexdigest()}"
    return f"{package} {found.hexdigest()}"


def _known(key: bytes) -> Complexity | None:
    try:
        found = json.loads(digest_store.read([key]).get(key, b""))
        return Complexity(found["height"], found["width"], tuple(PartCost(**part) for part in found["parts"]))
    except (ValueError, TypeError, KeyError):
        return None
