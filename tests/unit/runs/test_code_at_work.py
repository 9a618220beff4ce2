"""The code that a process works with is what it imported, which may lie on the disk no more."""

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lic_exp.processes import PROCESS_BEGAN
from lic_exp.runs.code_hash import changed_since, code_at_work, code_hash, forget

FILES = {
    "__init__.py": "",
    "model.py": "from .parts import one\n\nMine = one\n",
    "parts.py": "one = 1\n",
}
COMPONENT = "edited_plug.model.Mine"
LONG_AGO, LATER = 1e9, 4e9


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of the user's own that was written before this process began."""
    folder = tmp_path / "edited_plug"
    folder.mkdir()
    for name, text in {**FILES, "unused.py": "other = 1\n"}.items():
        (folder / name).write_text(text)
        os.utime(folder / name, (LONG_AGO, LONG_AGO))
    monkeypatch.syspath_prepend(str(tmp_path))
    forget()
    yield folder
    forget()


@pytest.mark.parametrize("plugins", [["edited_plug"], []])
def test_code_that_lies_there_as_it_was_imported_is_known(package: Path, plugins: list[str]) -> None:
    os.utime(package / "unused.py", (LATER, LATER))
    assert code_at_work([COMPONENT], plugins) == code_hash([COMPONENT], plugins) is not None


@pytest.mark.parametrize("name", FILES)
def test_code_that_was_edited_since_the_process_began_is_not(
    package: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    os.utime(package / name, (LATER, LATER))
    with caplog.at_level(logging.WARNING):
        assert code_at_work([COMPONENT], ["edited_plug"]) is None
    assert f"nobody knows which code is at work: {package / name} changed after this process began" in caplog.text


def test_a_process_knows_when_it_began(tmp_path: Path) -> None:
    (tmp_path / "new").touch()
    assert changed_since(tmp_path / "new", PROCESS_BEGAN)
    assert changed_since(tmp_path / "gone", PROCESS_BEGAN)
    assert not changed_since(Path(sys.executable), PROCESS_BEGAN)
