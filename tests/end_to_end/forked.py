"""`python launch.py` in a process forked from one that has imported everything: of a short run most is that."""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from lic_exp.cli.launch import main as launch

PRELOADED = (
    *("lic_exp.cli.launch", "lic_exp.runs.start", "lic_exp.runs.attempt", "lic_exp.models.compressai_zoo"),
    *("lic_exp.data.sources", "lic_exp.optimizers.factories", "lic_exp.training.criterion"),
)
ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)


class Forked:
    """What is used here of a `subprocess.Popen`.

    log: what it says is added to this file. environment: on top of this process's. group: whether it begins a process
    group of its own, as a terminal gives it.
    """

    def __init__(
        self, arguments: Sequence[str], log: Path, environment: Mapping[str, str], *, group: bool = False
    ) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(PRELOADED))
        log.parent.mkdir(parents=True, exist_ok=True)
        given = (list(arguments), log, {**os.environ, **environment}, group)
        self._process = context.Process(target=_command, args=given)
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float = 600) -> int:
        """The exit code once it has ended. Raises TimeoutExpired where it does not within so many seconds."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(["launch.py"], timeout)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Where it runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _command(arguments: list[str], log: Path, environment: dict[str, str], group: bool) -> None:
    if group:
        os.setsid()
    for number in ASKING:  # which the server that forks has been made deaf to
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    with open(log, "ab") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    os.environ.clear()
    os.environ.update(environment)
    sys.exit(launch(arguments))
