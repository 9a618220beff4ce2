"""One of several processes of a training: its device, and how it joins the others."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

from lic_exp.config.schema import RunConfig
from lic_exp.ops.ranks import any_rank
from lic_exp.runs.build import resolve_device
from lic_exp.runs.rank_place import STARTED_BY_US, RankPlace
from lic_exp.runs.rank_store import store_of_ranks
from lic_exp.runs.rank_watch import RankWatch
from lic_exp.runs.signals import StopRequest

HANG_S = 1800.0
"""So long ranks that all give signs of life may wait for one of them; then the exchange fails."""


def device_of(config: RunConfig, place: RankPlace | None) -> torch.device:
    """The device of this process. Raises ConfigError where it is not there."""
    device = resolve_device(config.trainer.device)
    if place is None or device.type == "cpu":
        return device
    return resolve_device(f"cuda:{place.local}")


class StopReason:
    """Why this process shall stop: a signal to it, or what its watch of the others says."""

    def __init__(self, signals: StopRequest, watch: RankWatch | None) -> None:
        self.signals, self.watch = signals, watch

    def __call__(self) -> str | None:
        return self.signals() or (self.watch.stop_reason if self.watch else None)


@contextmanager
def joined(config: RunConfig, place: RankPlace | None, device: torch.device) -> Iterator[RankWatch | None]:
    """Inside, this process is one of the ranks, and they watch each other; None where it is alone."""
    if place is None:
        yield None
        return
    backend = "gloo" if device.type == "cpu" else "cpu:gloo,cuda:nccl"
    dist.init_process_group(backend, timeout=timedelta(seconds=HANG_S))
    try:
        by_us = STARTED_BY_US in os.environ
        own = store_of_ranks(config.trainer.rank_timeout_s)
        with RankWatch(own, place.rank, place.world, config.trainer.rank_timeout_s, started_by_us=by_us) as watch:
            yield watch
            any_rank(False)  # the first rank may have the store, and the others ask it to the end
    finally:
        dist.destroy_process_group()
