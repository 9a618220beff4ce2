"""Parts of one computation on several threads, each computed as one thread alone would."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar

import torch

from lic_exp.private_torch import is_watched


class Helpers:
    """Threads that are made when there is first work for more than one."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.pool: ThreadPoolExecutor | None = None

    def run(self, parts: Sequence[Callable[[], None]]) -> None:
        """Run all parts, here where there is nobody else, or where a mode watches that other threads would not have."""
        if self.threads < 2 or len(parts) < 2 or is_watched():
            for part in parts:
                part()
            return
        if self.pool is None:
            # A thread learns how many torch may use when it first asks; unasked, a matrix product takes all cores.
            self.pool = ThreadPoolExecutor(self.threads, "side_by_side", initializer=torch.get_num_threads)
        for done in [self.pool.submit(torch.no_grad()(part)) for part in parts]:
            done.result()


_helpers: ContextVar[Helpers | None] = ContextVar("side_by_side", default=None)


def helpers() -> Helpers | None:
    """Those of `side_by_side`, inside of which this is asked; None outside."""
    return _helpers.get()


@contextmanager
def side_by_side(threads: int) -> Iterator[None]:
    """Inside, `helpers` are so many threads for parts without gradients, while torch itself has one.

    What is cut in parts has to be cut in the same ones for any number of threads, or results would hang on it.
    """
    own = Helpers(threads)
    token = _helpers.set(own)
    try:
        yield
    finally:
        _helpers.reset(token)
        if own.pool is not None:
            own.pool.shutdown()
