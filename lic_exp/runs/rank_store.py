"""The store in which ranks leave each other short texts: who has it, and how it is found."""

import os
from datetime import timedelta

from torch.distributed import TCPStore  # type: ignore[attr-defined]  # public, but for torch's own list
from torch.distributed.distributed_c10d import Store

HOST = "127.0.0.1"
ANSWER_S = 30.0
"""So long a store may take to answer."""


def new_store() -> TCPStore:
    """One in this process, for the ranks on this machine, at a port that is free."""
    return TCPStore(HOST, 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=ANSWER_S))


def store_of_ranks(answer_s: float = ANSWER_S) -> Store:
    """Another connection to the one that the environment names. Raises torch's DistError where nobody answers."""
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store: Store = TCPStore(address, port, is_master=False, timeout=timedelta(seconds=answer_s))
    return store
