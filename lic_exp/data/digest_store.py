"""What was found of files, kept on disk between processes. Losing it, or having no place for it, costs time alone.

One SQLite file, of digests in the user's cache folder. Its rows are keyed by hashes, and each carries a checksum, so a
damaged one is no answer instead of a wrong one. The oldest rows leave first.
"""

import logging
import sqlite3
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path
from typing import TypeVar

from lic_exp.user_cache import cache_folder

FILE = "digests_1.sqlite"
"""With a number for its format: another one is another file."""

MOST = 2_000_000
"""Rows that are kept: more files than ImageNet has, in about 200 MB."""

WAIT_S = 2.0
"""How long another process's write is waited for."""

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_TABLE = "CREATE TABLE IF NOT EXISTS digests (number INTEGER PRIMARY KEY, key BLOB UNIQUE, digest BLOB)"
_QUERY = 500
_TRANSACTION = 20_000

_log = logging.getLogger("lic_exp.data")
_given_up: set[Path] = set()

T = TypeVar("T")


def read(keys: Collection[bytes], *, file: Path | None = None) -> dict[bytes, bytes]:
    """{key: digest} of those keys that are known. file: another than that of digests, for values of any kind."""

    def select(connection: sqlite3.Connection) -> dict[bytes, bytes]:
        known: dict[bytes, bytes] = {}
        for some in _chunks(keys, _QUERY):
            marks = ",".join("?" * len(some))
            rows = connection.execute(f"SELECT key, digest FROM digests WHERE key IN ({marks})", some)
            known |= {key: sealed[:-4] for key, sealed in rows if _is_whole(key, sealed)}
        return known

    return _tried(select, {}, file)


def write(digests: Mapping[bytes, bytes], *, file: Path | None = None) -> None:
    """Keep them, in place of what was known of the same keys. file: as above."""
    for some in _chunks(digests.items(), _TRANSACTION):
        rows = [(key, digest + _checksum(key, digest)) for key, digest in some]

        def insert(connection: sqlite3.Connection, rows: list[tuple[bytes, bytes]] = rows) -> None:
            connection.executemany("INSERT OR REPLACE INTO digests (key, digest) VALUES (?, ?)", rows)
            connection.execute("DELETE FROM digests WHERE number <= (SELECT MAX(number) FROM digests) - ?", (MOST,))

        _tried(insert, None, file)


def _chunks(items: Collection[T], size: int) -> Iterator[Sequence[T]]:
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some


def _checksum(key: bytes, digest: bytes) -> bytes:
    return zlib.crc32(key + digest).to_bytes(4, "little")


def _is_whole(key: bytes, sealed: object) -> bool:
    return isinstance(sealed, bytes) and sealed[-4:] == _checksum(key, sealed[:-4])


def _tried(act: Callable[[sqlite3.Connection], T], otherwise: T, file: Path | None) -> T:
    """What `act` makes of the file in one transaction; `otherwise` where the file is of no use.

    A damaged file is removed, so that the next writer makes it anew. After any other trouble (no right to write, a full
    disk, a lock that nobody gives back) this process does without it.
    """
    try:
        file = cache_folder() / FILE if file is None else file
        if file in _given_up:
            return otherwise
        file.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(file, timeout=WAIT_S)) as connection, connection:
            connection.text_factory = bytes  # a damaged row may claim to hold text
            connection.execute(_TABLE)
            return act(connection)
    except (sqlite3.Error, OSError, RuntimeError) as error:
        _log.info("%s is not used: %s", file or "a cache of digests", error)
        if file is not None and getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
            for damaged in (file, file.with_name(f"{file.name}-journal")):
                with suppress(OSError):
                    damaged.unlink(missing_ok=True)
        elif file is not None:
            _given_up.add(file)
        return otherwise
