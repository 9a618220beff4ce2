"""What a result was made with: packages, code, machine."""

import os
import platform
import subprocess
import sys
from importlib.metadata import distributions
from typing import Any

from lic_exp.atomic import write_atomically, write_json
from lic_exp.places import PACKAGE
from lic_exp.tracking.run_folder import RunFolder


def record_environment(run: RunFolder, arguments: list[str]) -> dict[str, Any]:
    """Write environment.json, and git.diff beside it when the checkout has uncommitted changes."""
    commit, diff = _git("rev-parse", "HEAD"), _git("diff", "HEAD")
    environment = {
        "command": [sys.executable, *sys.argv],
        "overrides": arguments,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "git_commit": commit.strip() if commit else None,
        "git_dirty": bool(diff),
        "packages": dict(sorted((d.metadata["Name"], d.version) for d in distributions())),
    }
    if diff:
        write_atomically(run.root / "git.diff", diff)
    write_json(run.environment, environment)
    return environment


def _git(*arguments: str) -> str | None:
    """What git says of the checkout that holds this package; None for an installed wheel or without git."""
    folder = PACKAGE.parent
    if not (folder / ".git").exists():
        return None
    try:
        answer = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.decode(errors="replace")
