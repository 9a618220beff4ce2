"""SLURM's commands, asked of one test cluster."""

import os
import re
import shlex
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from cluster_settings import user

# Daemons are often in places that only root's PATH has.
PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))


def wait_for(
    reached: Callable[[], object], seconds: float, what: str, evidence: Callable[[], object] | None = None
) -> None:
    """Ask again and again until it is true; TimeoutError, with `what` and the evidence, after `seconds`."""
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {seconds:g} s: {what}{f': {evidence()}' if evidence else ''}")
        time.sleep(0.05)


class Commands:
    """What can be asked of a running cluster; `folder` is where it lives."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to talk to this cluster, beside its usual environment."""
        return {"SLURM_CONF": f"{self.folder}/slurm.conf", "PATH": PATH}

    def whole_environment(self) -> dict[str, str]:
        """The tests' own environment, but for this cluster and no other: they may run inside a job of one."""
        outside = {key: value for key, value in os.environ.items() if not re.match("SLURM|SBATCH|SQUEUE|SACCT", key)}
        return outside | self.environment

    def command(self, *words: str, seconds: float = 30) -> str:
        """Its standard output; RuntimeError with what it said when it fails."""
        done = subprocess.run(
            words, env=self.whole_environment(), capture_output=True, text=True, timeout=seconds, check=False
        )
        if done.returncode:
            said = f"{done.stdout}{done.stderr}".strip()
            raise RuntimeError(f"`{shlex.join(words)}` ended with {done.returncode}: {said}")
        return done.stdout

    def scontrol(self, *words: str) -> str:
        return self.command("scontrol", *words)

    def squeue(self, *words: str) -> str:
        return self.command("squeue", *words)

    def sacct(self, *words: str) -> str:
        return self.command("sacct", *words)

    def submit(self, script: str, *options: str) -> str:
        """`sbatch OPTIONS --wrap SCRIPT`; the job's number. What it prints is lost unless `--output` says where to."""
        return self.command("sbatch", "--parsable", "--output=/dev/null", *options, "--wrap", script).strip()

    def job(self, number: str) -> dict[str, str]:
        """What slurmctld knows of a job: JobState, ExitCode, Reason, Restarts, NodeList, ..."""
        return dict(re.findall(r"(\S+?)=(\S*)", self.scontrol("show", "job", "--oneliner", number)))

    def wait_job(self, number: str, *states: str, seconds: float = 90) -> dict[str, str]:
        """The job, as soon as it is in one of these states."""
        what = f"job {number} is not {' or '.join(states)}"
        wait_for(lambda: self.job(number)["JobState"] in states, seconds, what, lambda: self._evidence(number))
        return self.job(number)

    def _evidence(self, number: str) -> str:
        return f"{self.scontrol('show', 'job', '--oneliner', number)} {self.scontrol('show', 'nodes', '--oneliner')}"

    def node_states(self) -> dict[str, str]:
        """Of each node: idle, mixed, allocated, completing, down, ...; with a `*` while slurmd does not answer."""
        rows = self.command("sinfo", "--noheader", "--Node", "--partition=main", "--format=%N %T").split()
        return dict(zip(rows[::2], rows[1::2], strict=True))

    def wait_idle(self, seconds: float = 60) -> None:
        """Until both nodes are up with nothing on them, and nothing is queued."""

        def idle() -> bool:
            return set(self.node_states().values()) == {"idle"} and not self.squeue("--noheader")

        wait_for(idle, seconds, "the cluster is not idle")

    def cancel_all(self) -> None:
        self.command("scancel", f"--user={user()}")
