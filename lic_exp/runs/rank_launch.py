"""Starts the ranks of a training on this machine, follows them to their end, and says what came of it.

They are started by what torchrun starts processes with. The store that they meet at is in this process, so that it
outlives each of them. Signals are handed on; when this process is killed, the ranks stop after a checkpoint.
"""

import logging
import os
import pickle
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from torch.distributed import DistError
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, PContext, Std, start_processes

from lic_exp.atomic import write_atomically
from lic_exp.config.schema import RunConfig
from lic_exp.json_text import json_text
from lic_exp.processes import usable_cores
from lic_exp.runs.attempt_record import conclude
from lic_exp.runs.lock import RunBusyError, RunGoneError, run_lock
from lic_exp.runs.rank_place import STARTED_BY_US, rank_place, starter
from lic_exp.runs.rank_store import HOST, new_store, store_of_ranks
from lic_exp.runs.rank_watch import LEFT, RankLostError, end_of
from lic_exp.runs.signals import STOPPING
from lic_exp.saying import say
from lic_exp.tracking.run_folder import RunFolder

LOOK_EVERY_S = 0.2
HEARD_WITHIN_S = 5.0
OF_TORCH = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
"""What torch gives handlers of its own when it starts processes."""

OUTCOME = "outcome"
"""What the first rank leaves in the store: whether it has made the run, or what it raised."""


def execute_on_ranks(config: RunConfig, run: RunFolder, arguments: list[str], sweep: str | None) -> bool:
    """Have `trainer.devices` processes of this machine train and evaluate the run. Returns and raises as `execute`.

    Raises RankLostError where a rank is lost, and the first could not say so.
    """
    store = new_store()
    with tempfile.TemporaryDirectory(prefix="lic_exp_ranks_") as folder:
        job = Path(folder, "job.json")
        told = {"config": config.plain(), "signature": config.signature, "given": arguments, "sweep": sweep}
        write_atomically(job, json_text(told))
        with _handlers_put_back():
            context = _started(config.trainer.devices, job, store.port)
            _hand_signals_on(context)
            try:
                while (ended := context.wait(timeout=0)) is None:
                    time.sleep(LOOK_EVERY_S)
            finally:
                context.close()
        codes = {rank: failure.exitcode for rank, failure in ended.failures.items()}
        if store.check([OUTCOME]):
            return _outcome(bytes.fromhex(store.get(OUTCOME).decode()))
        said_last = [
            store.get(key).decode() for key in map(end_of, range(config.trainer.devices)) if store.check([key])
        ]
        ends = [text for text in said_last if text != LEFT]
        for rank, file in ended.stderrs.items():
            if rank and not ends and (said := Path(file).read_text(errors="replace").strip()):
                say(f"rank {rank}:", *said.split("\n")[-20:])
    raise RankLostError(_said_of_lost(run, ends, codes))


def leave_outcome(outcome: bool | BaseException) -> None:
    """What the first rank does at its end. What cannot be handed on as it is, is handed on as its text."""
    if os.getppid() != starter():  # whoever should hear it is gone
        return
    try:
        content = pickle.dumps(outcome)
        pickle.loads(content)
    except Exception:  # noqa: BLE001 (an error of anybody's may be anything)
        content = pickle.dumps(RankLostError(f"{type(outcome).__name__}: {outcome}"))
    with suppress(DistError):
        store_of_ranks(HEARD_WITHIN_S).set(OUTCOME, content.hex())


def leave_end(reason: str) -> bool:
    """What another rank does that has failed; whether it has left its reason before, where the others look for it."""
    place = rank_place()
    if place is None or os.getppid() != starter():
        return True
    with suppress(DistError):
        store = store_of_ranks(HEARD_WITHIN_S)
        if not store.check([end_of(place.rank)]):
            store.set(end_of(place.rank), f"rank {place.rank}: {reason}")
            return False
    return True


def _started(count: int, job: Path, port: int) -> PContext:
    meeting = {"MASTER_ADDR": HOST, "MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    shared = meeting | {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), STARTED_BY_US: str(os.getpid())}
    if "GLOO_SOCKET_IFNAME" not in os.environ and Path("/sys/class/net/lo").exists():
        shared["GLOO_SOCKET_IFNAME"] = "lo"  # whatever the machine's name means
    if "TORCH_CPP_LOG_LEVEL" not in os.environ:
        shared["TORCH_CPP_LOG_LEVEL"] = "ERROR"  # a connection that breaks is told of by who has lost it
    if "OMP_NUM_THREADS" not in os.environ:
        shared["OMP_NUM_THREADS"] = str(max(1, usable_cores() // count))
    # Who ended, and why, is said in our own words.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    return start_processes(
        "rank",
        sys.executable,
        args={rank: ("-P", "-m", "lic_exp", "rank", str(job)) for rank in range(count)},
        envs={rank: shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count)},
        # The first has the console.
        logs_specs=DefaultLogsSpecs(
            log_dir=str(job.parent), redirects={rank: Std.ALL if rank else Std.NONE for rank in range(count)}
        ),
    )


@contextmanager
def _handlers_put_back() -> Iterator[None]:
    """Inside, signals may get other handlers, as torch gives them; off the main thread there are none."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former: dict[int, Any] = {number: signal.getsignal(number) for number in {*STOPPING, *OF_TORCH}}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _hand_signals_on(context: PContext) -> None:
    """From now on, every rank gets the signals that ask a run to stop."""

    def hand_on(number: int, frame: FrameType | None) -> None:
        for pid in context.pids().values():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    if threading.current_thread() is threading.main_thread():
        for number in STOPPING:
            signal.signal(number, hand_on)


def _outcome(content: bytes) -> bool:
    outcome = pickle.loads(content)
    if isinstance(outcome, BaseException):
        raise outcome
    return bool(outcome)


def _said_of_lost(run: RunFolder, ends: list[str], codes: dict[int, int]) -> str:
    """Why there is no outcome; status.json says it too, if the run is still said to be going on.

    ends: what ranks have said of their ends. codes: how those ended that did not end well.
    """
    killed = [f"rank {rank} was ended by {signal.Signals(-code).name}" for rank, code in codes.items() if code < 0]
    plain = [f"rank {rank} ended with exit code {code}" for rank, code in codes.items() if code > 0]
    reason = (ends or killed or plain or ["the ranks ended without a word"])[0]
    with suppress(RunBusyError, RunGoneError), run_lock(run) as hold:
        if run.status().get("state") == "running":
            conclude(hold, "failed", f"RankLostError: {reason}")
    return reason
