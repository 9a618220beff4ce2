"""A copy of the checkout, for tests that build it or break it."""

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]
LITTER = shutil.ignore_patterns("__pycache__", "*.egg-info")


def copy_checkout(target: Path, *names: str) -> Path:
    """Copy the named files and folders of the checkout's top level into `target`; returns `target`."""
    target.mkdir(parents=True, exist_ok=True)
    for name in names:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=LITTER)
        else:
            shutil.copy2(source, target)
    return target
