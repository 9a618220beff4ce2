"""What was found of this package's code, kept on disk between processes: to read it anew takes most of a second.

It is known by the content of all of the package's files, never by their sizes or dates. What lies outside of them is
not looked at; so with packages of the user's own nothing is kept. Losing it costs time alone.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from lic_exp.data import digest_store
from lic_exp.places import PACKAGE
from lic_exp.runs import modules_read
from lic_exp.source_text import OURS

FORM = "code 1"
"""Of what is kept, with a number that counts its versions."""


class Code(NamedTuple):
    """The hash of each part, and the modules in which it is."""

    parts: dict[str, str]
    modules: list[str]


def known(settings: Iterable[str], components: Sequence[str], find: Callable[[], Code | None]) -> Code | None:
    """What `find` says of the code of these components, which is asked only of code that nobody has asked about.

    settings: what it depends on beside the code.
    """
    if any(component.split(".")[0] != OURS for component in components):
        return find()
    named = [FORM, sys.version, *settings, "", *components]
    key = key_of(named)
    found = _read(key)
    if found is None:
        found = find()
        if found is not None and key_of(named) == key:  # nothing was changed meanwhile
            _write(key, found)
    return found


def key_of(settings: Iterable[str]) -> bytes:
    """What names an outcome of this package's code, as it lies on disk now, and of these settings."""
    files = sorted(PACKAGE.rglob("*.py"))
    contents = (f"{path.relative_to(PACKAGE)} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in files)
    return hashlib.sha256("\0".join([*settings, "", *contents]).encode()).digest()


def _read(key: bytes) -> Code | None:
    text = digest_store.read([key]).get(key)
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
