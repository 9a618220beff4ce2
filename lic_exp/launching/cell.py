"""One cell of a sweep: `python -m lic_exp.launching.cell FROZEN.json`.

The file is all it gets: no option of conf/ is read, so that an edit after the sweep was made changes nothing.
"""

import argparse
import json
import os
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from lic_exp.atomic import write_atomically
from lic_exp.launching import exit_codes
from lic_exp.launching.errors import ConfigError

ASKING = (signal.SIGTERM, signal.SIGUSR2)
"""Signals by which a pool or SLURM asks a cell to stop."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the frozen config to its end, and leave the exit code beside it. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("frozen", type=Path)
    parser.add_argument("--memory-gb", type=float)
    options = parser.parse_args(arguments)
    # Before training has its own handler there is nothing to save.
    for number in ASKING:
        signal.signal(number, _stopped)
    code = exit_codes.FAILED
    try:
        if options.memory_gb is not None:
            limit = round(options.memory_gb * 1e9)
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        code = run(options.frozen)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else exit_codes.FAILED
    finally:
        for number in ASKING:  # too late to stop, and while Python shuts down its default would end the process
            signal.signal(number, signal.SIG_IGN)
        ended = {"pid": os.getpid(), "exit_code": code}
        write_atomically(options.frozen.with_suffix(".exit"), json.dumps(ended) + "\n")
    return code


def run(path: Path) -> int:
    """Train and evaluate as the file says. Returns the exit code."""
    from lic_exp.launching.main import guarded, launch
    from lic_exp.launching.summary import console_for

    try:
        frozen = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        print(f"  1. {path} cannot be read: {error}; the sweep's command writes it anew", file=sys.stderr)
        return exit_codes.CONFIG
    console = console_for(sys.stderr)
    return guarded(lambda: launch(checked(frozen), frozen["given"], console, sweep=frozen["sweep"]), console)


def checked(frozen: dict) -> dict:
    """The cell's config. Raises ConfigError where it no longer is the run that the sweep signed."""
    from lic_exp.launching.identity import signature
    from lic_exp.launching.validation import validate

    config = validate(frozen["config"])
    now = signature(config)
    if now != frozen["signature"]:
        raise ConfigError(
            [
                f"this cell was signed as {frozen['signature']} and is {now} now: its images, its weights or the "
                "options' code changed since. Give the sweep's command again to sign it anew"
            ]
        )
    return config


def _stopped(number: int, frame: FrameType | None) -> None:
    sys.exit(exit_codes.PREEMPTED)


if __name__ == "__main__":
    sys.exit(main())
