"""The checkout that is tested: copies of it, to build or to break, and its programs as modules."""

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]
LITTER = shutil.ignore_patterns("__pycache__", "*.egg-info")


def program(path: str) -> ModuleType:
    """A Python file of the checkout that is in no package, as a module; its siblings are there while it is read."""
    file = ROOT / path
    spec = importlib.util.spec_from_file_location(f"program {path}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    sys.path.insert(0, str(file.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(file.parent))
    return module


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
