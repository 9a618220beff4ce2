"""How long coding takes, with all that it has a device do."""

import time
from collections.abc import Callable
from typing import TypeVar

import torch

T = TypeVar("T")


def timed(action: Callable[[], T], device: torch.device) -> tuple[T, float]:
    """The action's result and its duration [s], everything that it queued on the device included."""
    _synchronize(device)
    start = time.perf_counter()
    result = action()
    _synchronize(device)
    return result, time.perf_counter() - start


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
