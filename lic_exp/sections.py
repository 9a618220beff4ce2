"""What a program is at, told to whoever listens; where nobody does, it costs a look at an empty list."""

from collections.abc import Iterator
from contextlib import ContextDecorator, contextmanager
from typing import Protocol

DATA, TRANSFER, DRAWS, REGULARIZER = "data", "transfer", "draws", "regularizer"
FORWARD, BACKWARD, OPTIMIZER, REPLAY = "forward", "backward", "optimizer", "replayed step"
LOG, CHECKPOINT, VALIDATION = "log", "checkpoint", "validation"
"""Sections of a training."""

OTHER = "other"
"""What is in no section."""

PARTS = (DATA, TRANSFER, DRAWS, REGULARIZER, FORWARD, BACKWARD, OPTIMIZER, REPLAY, LOG, CHECKPOINT, OTHER)
"""Of a step, in the order of their turns; a validation is apart."""

BESIDES = (LOG, CHECKPOINT, VALIDATION)
"""What comes after a step, when it is due."""

WHOLE = (REPLAY,)
"""Sections that nothing is cut out of: what is entered while a step is recorded is not computed then."""


class Listener(Protocol):
    """Hears of the sections that are entered and left, which lie in one another like brackets."""

    def enter(self, name: str) -> None: ...

    def leave(self) -> None: ...


_listeners: list[Listener] = []


class Section(ContextDecorator):
    """Within, or in each call of the function that it decorates, the program is at what the name says."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        for listener in _listeners:
            listener.enter(self.name)

    def __exit__(self, *_: object) -> None:
        for listener in _listeners:
            listener.leave()


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Within, the listener is told of the sections that this process enters. Begins and ends outside of any."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
