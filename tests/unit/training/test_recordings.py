"""What is kept of recorded steps, and how CUDA's recorder leaves the device."""

import warnings
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from training_parts import objective, optimizers

from lic_exp.private_torch import times_written
from lic_exp.training import capture
from lic_exp.training.capture import Captures

PARTS = [(torch.zeros(2, 3),)]


def recorder(made):
    """One that replays nothing, and adds to `made` each time that it records."""

    def record(body):
        made.append(body())
        return {}, lambda: None

    return record


def captures(made):
    of = objective()
    return Captures(of, optimizers(of), recorder(made))


@pytest.mark.parametrize(
    ("keys", "recordings", "kept"),
    [("aaaa", 1, "a"), ("aabb", 2, "b"), ("abcc", 3, "c"), ("ababab", 3, "ab"), ("abbacabc", 4, "abc")],
)
def test_a_recording_takes_the_place_of_the_former_until_keys_take_turns(keys, recordings, kept):
    made = []
    one = captures(made)
    for key in keys:
        one.step(key, PARTS, lambda parts: {})
    assert len(made) == recordings
    assert sorted(key for key, _ in one.recorded) == list(kept)


def test_a_replay_counts_as_a_write():
    """By which coding tables are found to be stale."""
    one = captures([])
    weights = list(one.objective.codec.parameters())
    one.step("key", PARTS, lambda parts: {})
    before = [times_written(weight) for weight in weights]
    one.step("key", PARTS, lambda parts: {})
    assert all(times_written(weight) > first for weight, first in zip(weights, before, strict=True))


def test_nobody_is_warned_of_what_is_only_so_while_recording():
    def body(parts):
        warnings.warn(
            "This instance was constructed with capturable=True or some of all the param_groups", stacklevel=1
        )
        warnings.warn("another", stacklevel=1)
        return {}

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        captures([]).step("key", PARTS, body)
    assert [str(one.message) for one in seen] == ["another"]


class Device:
    """What of CUDA a recorder uses. fails: when a recording does, None for never.

    waited: for which streams the main one was told to wait. recorded_on: the streams of recordings. abandoned: of those
    that failed, what their memory came from and which stream was the current one.
    """

    def __init__(self, fails):
        self.fails = fails
        self.waited, self.recorded_on, self.abandoned = [], [], []
        self.current = self.main = SimpleNamespace(wait_stream=self.waited.append)
        self.side = SimpleNamespace(wait_stream=lambda other: None)

    @contextmanager
    def stream(self, stream):
        former, self.current = self.current, stream
        try:
            yield
        finally:
            self.current = former

    @contextmanager
    def graph(self, graph, *, pool, stream):
        assert pool == "a pool"
        self.recorded_on.append(stream)
        former, self.current = self.current, SimpleNamespace()
        try:
            yield
        finally:
            if self.fails in ("within", "at its end"):
                raise RuntimeError("operation failed due to a previous error during capture")
        self.current = former

    def install(self, monkeypatch):
        for name, value in {
            "Stream": lambda: self.side,
            "current_stream": lambda: self.current,
            "stream": self.stream,
            "set_stream": lambda stream: setattr(self, "current", stream),
            "CUDAGraph": lambda: SimpleNamespace(replay=lambda: None),
            "graph": self.graph,
            "graph_pool_handle": lambda: "a pool",
        }.items():
            monkeypatch.setattr(torch.cuda, name, value)
        monkeypatch.setattr(capture, "abandon_capture", lambda pool: self.abandoned.append((pool, self.current)))

    def body(self):
        if self.fails == "in warming up" and self.current is self.side:
            raise RuntimeError("out of memory")
        if self.fails == "within" and self.current is not self.side:
            raise RuntimeError("operation not permitted when stream is capturing")
        return {}


WHY = {
    "in warming up": "out of memory",
    "within": "not permitted when stream is capturing",
    "at its end": "due to a previous error",
}


@pytest.mark.parametrize("fails", [None, *WHY])
def test_the_device_goes_on_where_it_was(monkeypatch, fails):
    """It waits for what was begun aside; what a failure leaves is undone on the stream that goes on."""
    device = Device(fails)
    device.install(monkeypatch)
    if fails is None:
        capture.cuda_graph(device.body)
    else:
        with pytest.raises(RuntimeError, match=WHY[fails]):
            capture.cuda_graph(device.body)
    assert device.current is device.main
    assert device.waited == [device.side]
    assert device.recorded_on == ([] if fails == "in warming up" else [device.side])
    assert device.abandoned == ([("a pool", device.main)] if fails in ("within", "at its end") else [])
