"""A time in which files are taken to stay as they are, so that nothing about them is found out twice."""

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")

_known: ContextVar[dict[Hashable, Any] | None] = ContextVar("known", default=None)


@contextmanager
def files_unchanged() -> Iterator[None]:
    """Within, what `remembered` has found out once holds: a plan of 40 cells lists and looks up its images once.

    For work that begins and ends, such as one planning or the start of one run; also as a decorator. Nothing is kept
    afterwards, since a process that lives for hours must see files that change. One within another is part of that.
    """
    if _known.get() is not None:
        yield
        return
    token = _known.set({})
    try:
        yield
    finally:
        _known.reset(token)


@contextmanager
def looked_at_anew() -> Iterator[None]:
    """Within, nothing holds that was found out before, also where this is within `files_unchanged`."""
    token = _known.set({})
    try:
        yield
    finally:
        _known.reset(token)


def remembered(key: Hashable, find_out: Callable[[], T]) -> T:
    """What `find_out` returns, called once per key within `files_unchanged` and each time without it.

    Errors are not remembered.
    """
    known = _known.get()
    if known is None:
        return find_out()
    if key not in known:
        known[key] = find_out()
    found: T = known[key]
    return found
