"""What the tests of launchers share."""

import sys

import pytest
from pool_fakes import FAKE

from lic_exp.sweeps.folder import FOLDER, write_sweep


@pytest.fixture
def make(tmp_path, monkeypatch):
    """What makes a sweep of fakes, given what each does: a="done", b=("raise", {"parent": "a"})."""
    fake = tmp_path / "fake.py"
    fake.write_text(FAKE)
    monkeypatch.setattr(
        "lic_exp.sweeps.launchers.local.pool.cell_command", lambda path, _: [sys.executable, str(fake), str(path)]
    )

    def made(**cells):
        entries, frozen = [], {}
        for name, what in cells.items():
            does, more = what if isinstance(what, tuple) else (what, {})
            best = more.pop("best", 1.0)
            entries.append({"signature": name, "label": f"cell {name}", "role": {}} | more)
            frozen[name] = {"signature": name, "does": does, "best": best}
        folder = tmp_path / "runs" / FOLDER / "fakes"
        manifest = {"sweep": "fakes", "folder": str(tmp_path), "path": [], "made": "now", "cells": entries}
        return write_sweep(folder, manifest, frozen)

    return made
