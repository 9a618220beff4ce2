"""The platform's commands in processes of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

from checkout import ROOT

QUICK = (
    "data=synthetic",
    "data.val_crop_size=64",
    "data.val_limit=1",
    "tracker=none",
    "trainer.threads=1",
    "trainer.device=cpu",
    "evaluation.enabled=false",
)
"""Overrides that leave little more than the training steps themselves."""

SMALL_RUN = (
    "model=hyperprior_tiny",
    "spectral_reg=intra",
    "spectral_reg.truncation_length=1",
    "data=synthetic",
    "data.steps_per_epoch=2",
    "tracker=none",
    "trainer.max_steps=4",
    "trainer.log_every_steps=1",
    "trainer.validate_every_steps=2",
    "trainer.checkpoint_every_steps=2",
    "trainer.threads=1",
    "trainer.device=cpu",
    "evaluation.pictures=1",
    "name=small",
)
"""A whole run of seconds, evaluated."""

HEAVY = ("torch", "mlflow", "compressai", "torchvision", "pandas", "matplotlib")

# Runs each command line of argv[1] (JSON) and prints [exit code, heavy modules loaded so far] of each as JSON.
PROBE = f"""
import json, sys
from lic_exp.cli.launch import main
seen = []
for arguments in json.loads(sys.argv[1]):
    try:
        code = main(arguments)
    except SystemExit as end:
        code = end.code
    seen.append([code or 0, [name for name in {HEAVY!r} if name in sys.modules]])
print("PROBED", json.dumps(seen))
"""


def start(*command: str, folder: Path, path: Path | None = None) -> "subprocess.Popen[str]":
    """Start Python with these arguments in `folder`, the checkout and `path` importable."""
    searched = os.pathsep.join(str(place) for place in (ROOT, path) if place)
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": searched},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: "subprocess.Popen[str]") -> "subprocess.CompletedProcess[str]":
    stdout, stderr = process.communicate(timeout=300)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def launch(*overrides: str, folder: Path, path: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """`python launch.py OVERRIDES` in `folder`."""
    return finish(start(str(ROOT / "launch.py"), *overrides, folder=folder, path=path))


def lic_exp(*arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """`python -m lic_exp ARGUMENTS` in `folder`."""
    return finish(start("-m", "lic_exp", *arguments, folder=folder))


def probe(*command_lines: list[str], folder: Path) -> tuple[list[tuple[int, list[str]]], str]:
    """The (exit code, heavy modules) of several command lines given to one process, and its stdout and stderr."""
    done = finish(start("-c", PROBE, json.dumps(command_lines), folder=folder))
    assert done.returncode == 0, done.stderr
    output, _, seen = done.stdout.rpartition("PROBED ")
    return [(code, modules) for code, modules in json.loads(seen)], output + done.stderr
