"""One training or evaluation at a time in a process: all its threads share torch's random numbers and switches.

Two at once would each draw what belongs to the other: both would end well, with weights that are neither's.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch

from lic_exp.runs.lock import RunBusyError
from lic_exp.training.rng import rng_state, set_rng_state


class Holder(NamedTuple):
    """Who has the random numbers. what: it does, as in "trains run 0123". long: whether others are not to wait."""

    process: int
    thread: int
    what: str
    long: bool


class _Turn:
    """Whose turn it is."""

    def __init__(self) -> None:
        self._holder: Holder | None = None
        self._changed = threading.Condition()

    def take(self, what: str, nested: bool, long: bool) -> bool:
        """Whether it is this thread's only now; False where it was before."""
        me = Holder(os.getpid(), threading.get_ident(), what, long)
        with self._changed:
            while (now := self._holder) is not None and now.process == me.process:  # else a copy of its parent's
                if now.thread == me.thread and nested:
                    return False
                if now.long or now.thread == me.thread:
                    raise RunBusyError(
                        f"this process {now.what} already, and its random numbers are for one at a time: what {what} "
                        "has to wait until that has ended, or to be a process of its own, as every cell of a sweep "
                        "(lic_exp.sweep) and every python launch.py is"
                    )
                self._changed.wait()
            self._holder = me
        return True

    def give_back(self) -> None:
        with self._changed:
            self._holder = None
            self._changed.notify_all()


_turn = _Turn()


@contextmanager
def one_at_a_time(what: str, *, nested: bool = False, long: bool = True) -> Iterator[None]:
    """Have torch's, numpy's and Python's random numbers for oneself; states and threads are put back afterwards.

    nested: may happen inside of what the same thread has begun so. long: what others need not wait for, as for making a
    model, but are refused. Raises RunBusyError where this process does something long already.
    """
    taken = _turn.take(what, nested, long)
    before, threads = rng_state(), torch.get_num_threads()
    try:
        yield
    finally:
        set_rng_state(before)
        torch.set_num_threads(threads)
        if taken:
            _turn.give_back()
