"""The cache of digests on disk: what it keeps, and that trouble with it costs time alone."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from checkout import ROOT

from lic_exp.data import digest_store

ENTRIES = {number.to_bytes(16, "big"): bytes([number % 256]) * 32 for number in range(1200)}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the cache will lie; nothing is there yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(digest_store, "_given_up", set())
    return tmp_path / "cache" / "lic_exp" / digest_store.FILE


def test_what_is_written_is_read_and_nothing_else(store: Path) -> None:
    assert digest_store.read(ENTRIES) == {}
    digest_store.write(ENTRIES)
    assert digest_store.read([*ENTRIES, b"unknown"]) == ENTRIES
    assert digest_store.read([b"unknown"]) == {}
    assert store.is_file()


def test_a_later_digest_takes_the_place_of_an_earlier_one(store: Path) -> None:
    digest_store.write({b"a": b"1" * 32, b"b": b"2" * 32})
    digest_store.write({b"a": b"3" * 32})
    assert digest_store.read([b"a", b"b"]) == {b"a": b"3" * 32, b"b": b"2" * 32}


def test_the_oldest_leave_first(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest_store, "MOST", 1000)
    digest_store.write(ENTRIES)
    assert list(digest_store.read(ENTRIES)) == list(ENTRIES)[-1000:]


# Trouble


@pytest.mark.parametrize("content", [b"", b"I am a text.", b"SQLite format 3\0" + b"\xff" * 5000, "half", "head"])
def test_a_damaged_file_is_made_anew(store: Path, content: bytes | str) -> None:
    digest_store.write(ENTRIES)
    whole = store.read_bytes()
    halves = {"half": whole[: len(whole) // 2], "head": b"\0" * 200 + whole[200:]}
    store.write_bytes(halves[content] if isinstance(content, str) else content)
    assert digest_store.read(ENTRIES).items() <= ENTRIES.items()
    digest_store.write(ENTRIES)
    digest_store.write(ENTRIES)
    assert digest_store.read(ENTRIES) == ENTRIES


@pytest.mark.parametrize("block", range(0, 100, 3))
def test_damage_anywhere_is_never_a_wrong_digest(store: Path, block: int) -> None:
    digest_store.write(ENTRIES)
    content = bytearray(store.read_bytes())
    first = len(content) * block // 100
    for place in range(first, min(first + 600, len(content)), 7):
        content[place] ^= 0x55
    store.write_bytes(bytes(content))
    assert digest_store.read(ENTRIES).items() <= ENTRIES.items()


def test_a_damaged_digest_is_replaced(store: Path) -> None:
    digest_store.write({b"a": b"1" * 32, b"b": b"2" * 32})
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.execute("UPDATE digests SET digest = ? WHERE key = ?", (b"3" * 36, b"a"))
        connection.execute("UPDATE digests SET digest = 'text' WHERE key = ?", (b"b",))
    assert digest_store.read([b"a", b"b"]) == {}
    digest_store.write({b"a": b"1" * 32})
    assert digest_store.read([b"a"]) == {b"a": b"1" * 32}


def no_folder(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.parents[1].write_text("A file where the cache folder should be.")


def no_file(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.mkdir(parents=True)


def no_home(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", unknown)


def full_disk(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> sqlite3.Connection:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(sqlite3, "connect", refuse)


def another_table(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.parent.mkdir(parents=True)
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.execute("CREATE TABLE digests (name TEXT)")


@pytest.mark.parametrize("trouble", [no_folder, no_file, no_home, full_disk, another_table])
def test_without_a_usable_file_nothing_is_known(store: Path, monkeypatch: pytest.MonkeyPatch, trouble) -> None:
    trouble(store, monkeypatch)
    for _ in range(2):
        digest_store.write(ENTRIES)
        assert digest_store.read(ENTRIES) == {}


def test_a_file_that_cannot_be_written_is_read(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest_store.write({b"a": b"1" * 32})
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda file, **options: connect(f"file:{file}?mode=ro", uri=True, **options)
    )
    assert digest_store.read([b"a"]) == {b"a": b"1" * 32}
    digest_store.write({b"b": b"2" * 32})
    assert digest_store.read([b"b"]) == {}


def test_a_lock_that_nobody_gives_back_is_waited_for_once(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest_store.write(ENTRIES)
    tries, connect = [], sqlite3.connect
    monkeypatch.setattr(digest_store, "WAIT_S", 0.01)
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **options: tries.append(args) or connect(*args, **options))
    with closing(connect(store, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        for _ in range(3):
            assert digest_store.read(ENTRIES) == {}
    assert len(tries) == 1


WRITER = """
import sys
from lic_exp.data import digest_store
digest_store.WAIT_S = 60
for block in range(20):
    digest_store.write({f"{sys.argv[1]} {block} {n}".encode(): bytes([block]) * 32 for n in range(50)})
"""


def test_processes_that_write_at_once_lose_and_damage_nothing(store: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, name], cwd=ROOT, env=os.environ) for name in "abc"]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    keys = [f"{name} {block} {n}".encode() for name in "abc" for block in range(20) for n in range(50)]
    assert digest_store.read(keys) == {key: bytes([int(key.split()[1])]) * 32 for key in keys}
    with closing(sqlite3.connect(store)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
