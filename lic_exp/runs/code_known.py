"""What was found of this package's code, kept on disk between processes: to read it anew takes most of a second.

It is known by the content of all of the package's files, never by their sizes or dates. What lies outside of them is
not looked at; so with packages of the user's own nothing is kept. Losing it costs time alone.
"""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from lic_exp.data import digest_store
from lic_exp.places import PACKAGE
from lic_exp.runs import modules_read
from lic_exp.source_text import OURS

FORM = "code 2"
"""Of what is kept, with a number that counts its versions."""

_seen: list[bytes | None] = []
"""What the package's files held when this process looked first, and last."""


class Code(NamedTuple):
    """The hash of each part, and the modules in which it is."""

    parts: dict[str, str]
    modules: list[str]


def known(
    settings: Iterable[str], components: Sequence[str], find: Callable[[], Code | None], now: bytes | None = None
) -> Code | None:
    """What `find` says of the code of these components, which is asked only of code that nobody has asked about.

    settings: what it depends on beside the code. now: `contents`, where somebody has looked just now.
    """
    if any(component.split(".")[0] != OURS for component in components):
        return find()
    named = [FORM, sys.version, *settings, "", *components]
    key = key_of(named, now or contents())
    found = _read(key)
    if found is None:
        found = find()
        if found is not None and key is not None and key_of(named, contents()) == key:  # nothing was changed meanwhile
            _write(key, found)
    return found


def key_of(settings: Iterable[str], now: bytes | None) -> bytes | None:
    """What names an outcome of this package's code, of these `contents`, and of these settings; None: nothing."""
    return None if now is None else hashlib.sha256("\0".join([*settings, "", now.hex()]).encode()).digest()


def contents() -> bytes | None:
    """A digest of all files that can be imported from this package; None where that cannot be said.

    As of folders elsewhere that are linked to, whose files may come and go unseen.
    """
    found = hashlib.sha256()
    try:
        for place, folders, files in os.walk(PACKAGE, onerror=_raise):
            if any(Path(place, name).is_symlink() for name in folders):
                return None
            folders.sort()
            for path in (Path(place, name) for name in sorted(files)):
                # Editors leave files and links of other names beside those that they have open.
                if path.suffix == ".py" and path.stem.isidentifier():
                    found.update(f"{path.relative_to(PACKAGE)}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    except OSError:
        return None
    return found.digest()


def has_changed() -> bool:
    """Whether the files hold something else than at the last time that this was asked, or nobody can say."""
    now = contents()
    changed = not _seen or now is None or now != _seen[-1]
    _seen[:] = [_seen[0] if _seen else now, now]
    return changed


def last_seen() -> bytes | None:
    """`contents` at the time of `has_changed`."""
    return _seen[-1] if _seen else None


def as_first_seen() -> bytes | None:
    """`contents`, if they are as when this process looked first, so that what it imported is what lies there."""
    now = contents()
    return now if _seen and now == _seen[0] else None


def _raise(error: OSError) -> None:
    raise error


def _read(key: bytes | None) -> Code | None:
    text = digest_store.read([key]).get(key) if key is not None else None
    try:
        parts, modules, libraries = json.loads(text or b"")
    except (ValueError, TypeError):
        return None
    # What is a library's is no code of a run; but a folder of the same name may have come before it.
    return Code(parts, modules) if all(map(modules_read.is_library, libraries)) else None


def _write(key: bytes, code: Code) -> None:
    others = [name for name in modules_read.asked_about() if name != OURS]
    if all(map(modules_read.is_library, others)):
        digest_store.write({key: json.dumps([*code, others]).encode()})
