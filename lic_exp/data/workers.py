"""The life of decoding processes: how they start, what they must survive, how they end."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.context import BaseContext

from lic_exp.data.images import say_once
from lic_exp.processes import usable_cores


def workers_for(wanted: int) -> int:
    """How many to start: as many as are wanted, and no more than there are cores, which is then said."""
    cores = usable_cores()
    if wanted > cores:
        say_once([f"data.num_workers={wanted}: {cores} are started, for this process may use {cores} cores"])
    return min(wanted, cores)


def worker_context(preload: str) -> BaseContext:
    """How workers start: forked from a clean server process that has imported the module `preload`.

    Forking the training process instead can deadlock, since it has threads, and would copy its CUDA state.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([preload])
    return context


@contextmanager
def job_signals_blocked() -> Iterator[None]:
    """Start processes that neither Ctrl-C nor SIGUSR1 and SIGUSR2 can end.

    A terminal sends Ctrl-C, and a cluster its warning, to every process of a job; workers must outlive it, for the
    main process to finish its step and save. SIGTERM ends them, for that is how Python ends them itself.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGUSR2})
    try:
        # Python starts this helper of its own before the first worker, and then unblocks SIGINT.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent(worker: int) -> None:
    """What a worker does first, as `worker_init_fn`: end once the process that asked for it is gone, even killed.

    DataLoader's own watch is on the server process, which in turn lives as long as any worker does.
    """

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, name=f"parent watch of worker {worker}", daemon=True).start()
