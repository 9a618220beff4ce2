"""A SLURM cluster of two nodes on this machine, for the tests: real daemons, small time limits, nothing left behind.

    python tests/slurm/cluster.py                     a cluster to try commands on, until Ctrl-C
    python tests/slurm/cluster.py --accounting dbd    the same with slurmdbd and a database: `sacct` works

It prints the two `export` lines that another terminal needs. All of it (munged, slurmctld, two slurmd; with accounting
mariadbd and slurmdbd too) listens on 127.0.0.1, on free ports, and keeps everything in one temporary folder. No system
service is used or needed, nor are root's rights. `.ci/slurm` installs the packages.

Partition `main` is the default one; jobs of `urgent` preempt its jobs, which are requeued. `--mem` holds without
cgroups: within about a second slurmstepd kills a job that has more in memory.
"""

import argparse
import contextlib
import random
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Self

import cluster_processes as processes
import cluster_settings as settings
from cluster_commands import PATH, Commands, wait_for
from cluster_settings import NODES

PROGRAMS = ("sbatch", "slurmctld", "slurmd", "munged")
ACCOUNTING_PROGRAMS = ("slurmdbd", "mariadbd", "mariadb-install-db", "my_print_defaults")
MUNGE_FILES = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}


def why_not(accounting: bool = False) -> str | None:
    """Why no cluster can be started here, or None."""
    if not Path("/proc/self/stat").exists():
        return "a test cluster needs Linux"
    wanted = PROGRAMS + (ACCOUNTING_PROGRAMS if accounting else ())
    missing = [program for program in wanted if not shutil.which(program, path=PATH)]
    return f"not installed: {', '.join(missing)} (.ci/slurm installs them)" if missing else None


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_ports() -> Iterator[int]:
    """Different ports that are free now, below those that the system hands out for outgoing connections."""
    for port in random.SystemRandom().sample(range(15000, 30000), 15000):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        yield port


class Cluster(Commands):
    """One cluster, from `start` (or `with`) to `stop`; also stopped when this process dies, in whatever way.

    changes: lines of slurm.conf that shall differ, by their keys, e.g. {"MaxArraySize": "5"}.
    """

    def __init__(self, accounting: bool = False, changes: Mapping[str, str] | None = None) -> None:
        self.accounting = accounting
        self.changes = dict(changes or {})
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._ports = dict(zip(("slurmctld", "slurmdbd", "mariadbd", *NODES), free_ports(), strict=False))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # Starting and stopping

    def start(self) -> Self:
        # mkdtemp's names are lower-case letters, digits and underscores, as SLURM wants a cluster's name to be.
        self.folder = Path(tempfile.mkdtemp(prefix="lic_exp_slurm_")).resolve()
        keeper = [sys.executable, processes.__file__, str(self.folder)]
        self._keeper = subprocess.Popen(keeper, stdin=subprocess.PIPE, start_new_session=True)
        try:
            self._write_settings()
            self._start_munged()
            if self.accounting:
                self._start_accounting()
            self.start_controller()
            for node in NODES:
                self.start_node(node)
            self.wait_idle(60)
        except BaseException as error:
            error.add_note(self._logs())
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End every process of the cluster, jobs included, and remove its folder."""
        processes.end(self.folder)
        for daemon in self._daemons.values():
            daemon.wait()
        self._daemons.clear()
        self._keeper.communicate(timeout=60)

    def _write_settings(self) -> None:
        write = {
            "slurm.conf": settings.slurm_conf(self.folder, self._ports, self.accounting, self.changes),
            "gres.conf": settings.gres_conf(self.folder),
        }
        for name, text in write.items():
            (self.folder / name).write_text(text)
        # CUDA_VISIBLE_DEVICES is set for character devices only, of any kind.
        for index in range(settings.GPUS):
            (self.folder / f"gpu{index}").symlink_to("/dev/null")

    def _start_munged(self) -> None:
        home = self._home("munged")
        (home / "key").write_bytes(secrets.token_bytes(128))
        (home / "key").chmod(0o600)
        places = [f"--{what}={home}/{name}" for what, name in MUNGE_FILES.items()]
        self._daemon("munged", "munged", "--foreground", "--force", *places)
        self._wait_for_daemon("munged", (home / "socket").exists)

    def _start_accounting(self) -> None:
        home, password = self._home("mariadbd"), secrets.token_hex(16)
        (home / "init.sql").write_text(settings.mariadb_sql(password))
        data = ("--no-defaults", f"--user={settings.user()}", f"--datadir={home}/data")
        install = ("--auth-root-authentication-method=normal", "--skip-test-db", "--innodb-log-file-size=4M")
        self.command("mariadb-install-db", *data, *install, seconds=60)
        small = ("--innodb-log-file-size=4M", "--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=0")
        here = ("--bind-address=127.0.0.1", f"--port={self._ports['mariadbd']}", f"--socket={home}/socket")
        rest = (f"--pid-file={home}/pid", f"--init-file={home}/init.sql", "--skip-name-resolve")
        self._daemon("mariadbd", "mariadbd", *data, *small, *here, *rest, port="mariadbd")
        config = self.folder / "slurmdbd.conf"
        config.touch(mode=0o600)
        config.write_text(settings.slurmdbd_conf(self.folder, self._ports, password))
        self._daemon("slurmdbd", "slurmdbd", "-D", port="slurmdbd")
        self.command("sacctmgr", "--immediate", "add", "cluster", self.folder.name)

    def _home(self, name: str) -> Path:
        home = self.folder / name
        home.mkdir(exist_ok=True)
        return home

    def _daemon(self, name: str, *command: str, port: str | None = None) -> None:
        """Start it in its own folder, which is how `processes` knows it; wait until it listens on its port."""
        if self._is_up(name):
            raise RuntimeError(f"{name} is up already")
        home = self._home(name)
        with open(home / "out", "ab") as out:
            self._daemons[name] = subprocess.Popen(
                command, cwd=home, env=self.whole_environment(), stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True,
            )  # fmt: skip
        if port:
            self._wait_for_daemon(name, lambda: listens(self._ports[port]))

    def _wait_for_daemon(self, name: str, ready: Callable[[], bool]) -> None:
        def settled() -> bool:
            code = self._daemons[name].poll()
            if code is not None:
                raise RuntimeError(f"{name} ended with {code} while starting")
            return ready()

        wait_for(settled, 60, f"{name} is not ready")

    def _logs(self) -> str:
        """The last lines of every daemon."""
        parts = [f"The test cluster in {self.folder}:"]
        for path in sorted(self.folder.glob("*/out")):
            parts.append(f"-- {path.parent.name}")
            parts += path.read_text(errors="replace").splitlines()[-15:]
        return "\n".join(parts)

    # Accidents, and how to recover from them

    def kill_node(self, name: str) -> None:
        """A power cut: slurmd, slurmstepd and the jobs of the node get SIGKILL."""
        processes.end(self.folder, name)
        self._daemons[name].wait()
        # slurmd removes the scripts of the jobs that it had, but one may begin anew before that, which fails.
        for left in (self.folder / name).glob("job[0-9]*"):
            shutil.rmtree(left)

    def kill_slurmd(self, name: str) -> None:
        """SIGKILL for slurmd alone; its jobs go on."""
        self._daemons[name].kill()
        self._daemons[name].wait()

    def stop_controller(self) -> None:
        """Ask slurmctld to end; jobs go on, and every command waits some ten seconds before it fails.

        Not SIGKILL, after which slurmctld would have forgotten the jobs of its last seconds.
        """
        self._daemons["slurmctld"].terminate()
        self._daemons["slurmctld"].wait(60)

    def start_node(self, name: str) -> None:
        """Start the node's slurmd; returns when it listens, not when slurmctld has noticed."""
        self._daemon(name, "slurmd", "-D", "-N", name, port=name)

    def start_controller(self) -> None:
        self._daemon("slurmctld", "slurmctld", "-D", port="slurmctld")

    def clear(self) -> None:
        """Start what is not up, cancel every job, wait until the cluster is idle."""
        if not self._is_up("slurmctld"):
            self.start_controller()
        for node in NODES:
            if not self._is_up(node):
                self.start_node(node)
        self.cancel_all()
        self.wait_idle()

    def _is_up(self, name: str) -> bool:
        return name in self._daemons and self._daemons[name].poll() is None


def main() -> None:
    parser = argparse.ArgumentParser(description="A SLURM cluster of two nodes on this machine, until Ctrl-C.")
    parser.add_argument("--accounting", choices=("none", "dbd"), default="none", help="dbd: sacct works")
    accounting = parser.parse_args().accounting == "dbd"
    if reason := why_not(accounting):
        sys.exit(reason)
    with Cluster(accounting) as cluster:
        print(f"export SLURM_CONF={shlex.quote(cluster.environment['SLURM_CONF'])}")
        print('export PATH="$PATH:/usr/sbin:/sbin"', flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
