import shutil
from pathlib import Path

import pytest

from lic_exp.pretrained import catalogue


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of all cards and weights, which a test may change, in place of those of the package."""
    folder = tmp_path / "shipped"
    shutil.copytree(catalogue.FOLDER, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    monkeypatch.setattr(catalogue, "FOLDER", folder)
    return folder
