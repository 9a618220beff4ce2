"""The compiled coder: made where it can be, found again, and missed by nobody where there is none."""

import logging
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import ROOT

from lic_exp.models import rans, rans_library
from lic_exp.models.rans_library import FOLDER, NoLibraryError, library

CODED = """
from lic_exp.models import rans
import numpy as np
tables = rans.RowTables(np.array([[0, 9, 50000, 65536]]), np.array([4]), np.array([-1]))
zeros = np.zeros(6, np.int32)
print(type(rans._way()).__name__, rans.encode(zeros, zeros, tables).hex())
"""


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """A user's cache folder with nothing in it, and a process that has not looked there yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for known in (library, rans._way):
        known.cache_clear()
    yield tmp_path / "cache" / "lic_exp" / FOLDER
    for known in (library, rans._way):
        known.cache_clear()


@pytest.fixture
def compiler():
    try:
        return rans_library._compiler()
    except NoLibraryError:
        pytest.skip("no C compiler")


def command(folder: Path, text: str) -> str:
    path = folder / "a compiler"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return f"'{path}'"


def counting(folder: Path, compiler: list[str]) -> str:
    return command(folder, f"echo once >> '{folder}/calls'\nexec {' '.join(compiler)} \"$@\"")


def test_it_is_made_once_and_found_again(cache, compiler, monkeypatch, tmp_path):
    monkeypatch.setenv("CC", counting(tmp_path, compiler))
    for _ in range(3):
        library.cache_clear()
        assert library() is not None
    assert (tmp_path / "calls").read_text() == "once\n"
    assert [path.suffix for path in cache.iterdir()] == [".so"]


@pytest.mark.parametrize("damage", ["cut", "a bit", "empty", "text"])
def test_a_damaged_file_is_made_anew_and_never_loaded(cache, compiler, damage):
    assert library() is not None
    (path,) = cache.iterdir()
    whole = path.read_bytes()
    bad = bytearray(whole)
    bad[len(bad) // 2] ^= 1
    # Beside the old one: what is loaded is mapped, and must not be written to.
    path.unlink()
    path.write_bytes(
        {"cut": whole[: len(whole) // 2], "a bit": bytes(bad), "empty": b"", "text": b"I am a text"}[damage]
    )
    library.cache_clear()
    assert library() is not None
    (again,) = cache.iterdir()
    assert again.name == rans_library._name(again.name.split("_")[0], again.read_bytes())


def test_another_source_is_another_file(cache, compiler, tmp_path):
    assert library() is not None
    other = tmp_path / "other.c"
    other.write_text(rans_library.SOURCE.read_text() + "\n/* edited */\n")
    rans_library._loaded(other)
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("exit 3", "exit code 3"),
        ("echo 'rans.c:1: no such thing' >&2; exit 1", "does not compile rans.c: rans.c:1: no such thing"),
        ("printf 'caf\\351\\n' >&2; exit 1", "does not compile rans.c: caf\ufffd"),
        ("exit 0", "No such file"),
        ('while [ $# -gt 1 ]; do shift; done; echo no library > "$1"', "invalid ELF header|file too short|no library"),
    ],
    ids=["fails", "says why", "says it in no UTF-8", "makes nothing", "makes something else"],
)
def test_a_compiler_that_does_not_work_costs_time_alone(cache, monkeypatch, tmp_path, caplog, text, message):
    monkeypatch.setenv("CC", command(tmp_path, text))
    with caplog.at_level(logging.INFO, "lic_exp.models"):
        assert library() is None
        assert isinstance(rans._way(), rans.CoderByBinding)
    assert len(caplog.records) == 1
    assert "to the same bytes" in caplog.text
    assert any(part in caplog.text for part in message.split("|"))
    assert not list(cache.glob("*.so"))


@pytest.mark.parametrize("chosen", ["a 'b", 'gcc "', "cc \\"])
def test_a_cc_that_is_no_command_line_costs_time_alone(cache, monkeypatch, caplog, chosen):
    monkeypatch.setenv("CC", chosen)
    with caplog.at_level(logging.INFO, "lic_exp.models"):
        assert isinstance(rans._way(), rans.CoderByBinding)
    assert "CC is no command line" in caplog.text


def test_a_compiler_that_works_is_asked_after_one_that_made_no_library(cache, compiler, monkeypatch):
    monkeypatch.setenv("CC", f"{compiler[0]} -c")
    assert library() is None
    library.cache_clear()
    monkeypatch.delenv("CC")
    assert library() is not None


def test_without_a_compiler_or_a_home_the_bytes_are_the_same(cache, monkeypatch, tmp_path):
    """In processes of their own, as a machine has them."""
    here = dict(os.environ) | {"PYTHONPATH": str(ROOT)}
    nobody = {key: value for key, value in here.items() if key not in ("XDG_CACHE_HOME", "CC")}
    found = []
    for environment in (here, nobody | {"PATH": str(tmp_path), "HOME": str(tmp_path)}, nobody | {"HOME": "/proc"}):
        done = subprocess.run(
            [sys.executable, "-c", CODED], env=environment, capture_output=True, text=True, check=True
        )
        found.append(done.stdout.split())
    assert len({string for _, string in found}) == 1
    assert [kind for kind, _ in found[1:]] == ["CoderByBinding"] * 2


def test_what_codes_wrongly_is_not_used(cache, compiler, monkeypatch, caplog, tmp_path):
    """As a compiler with a fault, or another processor, might have it."""
    wrong = tmp_path / "rans.c"
    source = rans_library.SOURCE.read_text()
    for was, instead in (("x % frequency + start", "x % frequency - start"), ("value++", "value += 2")):
        wrong.write_text(source.replace(was, instead))
        monkeypatch.setattr(rans_library, "SOURCE", wrong)
        for known in (library, rans._way):
            known.cache_clear()
        assert isinstance(rans._way(), rans.CoderByBinding)
        assert "codes wrongly" in caplog.text


def test_a_machine_of_another_byte_order_does_without(cache, monkeypatch):
    monkeypatch.setattr(sys, "byteorder", "big")
    assert library() is None


def test_other_threads_run_meanwhile(cache, compiler):
    """CompressAI's binding keeps them waiting; a heartbeat for instance."""
    functions = library()
    assert functions is not None
    assert not functions._FuncPtr._flags_ & 0x4  # FUNCFLAG_PYTHONAPI: called while other threads wait
