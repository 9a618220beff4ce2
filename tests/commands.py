"""The platform's commands, in processes of their own and in this one."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from importlib import import_module
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


PROGRAMS = {"launch.py": "lic_exp.cli.launch", "lic_exp": "lic_exp.__main__", "analysis": "analysis.__main__"}


def called(program: str, *arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """`python launch.py ARGUMENTS` in `folder`, or `python -m PROGRAM ARGUMENTS`, without a process of its own.

    Most of what a short command takes is importing torch, and CompressAI, which a process of tests has done.
    """
    main = import_module(PROGRAMS[program]).main
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    heard = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)}
    try:
        with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(list(arguments))
    except SystemExit as end:
        code = end.code or 0
    finally:
        for number, handler in heard.items():
            signal.signal(number, handler)
    said = (stream.buffer.getvalue().decode() for stream in (out, err))
    return subprocess.CompletedProcess([program, *arguments], code, *said)


def probe(*command_lines: list[str], folder: Path) -> tuple[list[tuple[int, list[str]]], str]:
    """The (exit code, heavy modules) of several command lines given to one process, and its stdout and stderr."""
    done = finish(start("-c", PROBE, json.dumps(command_lines), folder=folder))
    assert done.returncode == 0, done.stderr
    output, _, seen = done.stdout.rpartition("PROBED ")
    return [(code, modules) for code, modules in json.loads(seen)], output + done.stderr
