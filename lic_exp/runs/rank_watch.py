"""Ranks that watch each other: whoever dies, hangs or fails ends the training on all, with the reason, within a time.

A process that waits for a rank that is gone may wait in a library that nothing interrupts. So every rank has a thread
that gives a sign of life every second and looks for those of the others, by torch.distributed's store. What it finds
ends the process where its main thread does not end by itself.
"""

import json
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Self

from torch.distributed.distributed_c10d import Store

from lic_exp import exit_codes
from lic_exp.divergence import DivergedError
from lic_exp.processes import identity, is_here, lives
from lic_exp.training.preempted import Preempted
from lic_exp.training.rank_equality import RanksDifferError

log = logging.getLogger("lic_exp.runs")

LOOK_EVERY_S = 1.0
GRACE_S = 10.0
"""So long the main thread has to end by itself once the training cannot go on."""

BEAT, WHO, END = "beat", "who", "end"

TOGETHER = (Preempted, DivergedError, RanksDifferError)
"""What all ranks end by at once. The first one then takes the time that it needs, to write its checkpoint for one."""

LEFT = "left with the others"
"""What a rank says that has ended so: it is no longer to be watched."""


class RankLostError(RuntimeError):
    """A rank of a training has died, fallen silent or failed, so that none can go on."""


class RankWatch:
    """Inside, this rank gives signs of life and looks for those of the others.

    store: a connection of its own, which nobody else uses. timeout_s: how long a rank may be silent. started_by_us:
    whether the store is that of the process that has started all ranks; else the first rank has it.
    end: told the reason, in the watching thread, before it ends the process.

    A rank that is silent and on this machine is killed, which lets go whoever waits for it.
    """

    def __init__(self, store: Store, rank: int, world: int, timeout_s: float, *, started_by_us: bool) -> None:
        self.store, self.rank, self.timeout_s, self.started_by_us = store, rank, timeout_s, started_by_us
        self.end: Callable[[str], None] = lambda reason: None
        self.reason: str | None = None
        self.stop_reason: str | None = None
        self._heard = dict.fromkeys((other for other in range(world) if other != rank), (b"", time.monotonic()))
        self._who: dict[int, dict[str, Any]] = {}
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="rank watch", daemon=True)

    def __enter__(self) -> Self:
        self._beat(0)
        self.store.set(_key(self.rank, WHO), json.dumps(identity(os.getpid())))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        together = error is None or isinstance(error, TOGETHER)
        self._tell(LEFT if together else self.reason or f"{type(error).__name__}: {error}")
        self._left.set()
        self._thread.join(2 * LOOK_EVERY_S)

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """Inside, an error that only says that a connection broke is a RankLostError, which says who is gone."""
        try:
            yield
        except RuntimeError as error:  # of Python's or torch's own, in words of the library below
            if type(error).__module__.partition(".")[0] != "lic_exp":
                self._explain()
            if self.reason is None or isinstance(error, RankLostError):
                raise
            raise RankLostError(self.reason) from error

    def _explain(self) -> None:
        """Wait for what the thread finds, a few looks long; on another machine a rank that is gone is only silent."""
        for _ in range(5):
            if self.reason is not None or not self._thread.is_alive():
                return
            time.sleep(LOOK_EVERY_S)
        now = time.monotonic()
        silent = [other for other, (_, since) in self._heard.items() if now - since > 3 * LOOK_EVERY_S]
        if silent and self.reason is None:
            names = " and ".join(map(self._named, silent))
            self.reason = f"{names} gives no sign of life any more, and the connection to it is broken"

    def _tell(self, text: str) -> None:
        try:
            self.store.set(_key(self.rank, END), text)
        except Exception as error:  # noqa: BLE001 (whatever torch raises where the store is gone; the others see that)
            log.info("the other ranks could not be told: %s", error)

    def _follow(self) -> None:
        beats = 0
        while not self._left.wait(LOOK_EVERY_S):
            beats += 1
            try:
                self._beat(beats)
                reason = self._look()
            except Exception:  # noqa: BLE001 (as above)
                if self._left.is_set() or self._is_without_starter():
                    return
                reason = "rank 0, which the others meet at, is gone"
            if reason is not None:
                self._give_up(reason)
                return

    def _is_without_starter(self) -> bool:
        """All ranks can go on to their next step without who started them, and end with a checkpoint there."""
        if self.started_by_us:
            self.stop_reason = "the process that started the ranks is gone"
        return self.started_by_us

    def _give_up(self, reason: str) -> None:
        self.reason = reason
        log.error("rank %d ends: %s", self.rank, reason)
        if self._left.wait(GRACE_S):
            return
        self.end(reason)
        self._tell(reason)
        # Others are asked to end with one that fails, and the first has its status to write; unless it is the lost one.
        os._exit(exit_codes.FAILED if self.rank == 0 or reason.startswith("rank 0") else exit_codes.DONE)

    def _beat(self, number: int) -> None:
        self.store.set(_key(self.rank, BEAT), str(number))

    def _look(self) -> str | None:
        """Why the training cannot go on, or None."""
        now = time.monotonic()
        for other, (last, since) in list(self._heard.items()):
            if self.store.check([_key(other, END)]):
                said = self.store.get(_key(other, END)).decode()
                if said == LEFT:
                    del self._heard[other]
                    continue
                return said if said.startswith("rank ") else f"rank {other} ended: {said}"
            beat = self.store.get(_key(other, BEAT)) if self.store.check([_key(other, BEAT)]) else b""
            if beat != last:
                self._heard[other] = beat, now
            elif now - since > self.timeout_s:
                _kill(self._identity(other))
                return (
                    f"{self._named(other)} has given no sign of life for {self.timeout_s:g} s (trainer.rank_timeout_s)"
                )
            if beat and is_here(self._identity(other)) and not lives(self._identity(other)):
                return f"{self._named(other)} is gone: it was killed, or died without a word"
        return None

    def _identity(self, other: int) -> dict[str, Any]:
        if other not in self._who and self.store.check([_key(other, WHO)]):
            self._who[other] = json.loads(self.store.get(_key(other, WHO)))
        return self._who.get(other, {})

    def _named(self, other: int) -> str:
        who = self._identity(other)
        return f"rank {other}, process {who['pid']} on {who['host']}," if who else f"rank {other}"


def end_of(rank: int) -> str:
    """The key under which a rank leaves why it has ended."""
    return _key(rank, END)


def _key(rank: int, what: str) -> str:
    return f"rank {rank} {what}"


def _kill(who: Mapping[str, Any]) -> None:
    if lives(who):
        with suppress(ProcessLookupError):
            os.kill(int(who["pid"]), signal.SIGKILL)
