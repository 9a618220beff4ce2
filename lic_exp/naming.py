"""A name by its unique beginning: of runs, sweeps, cells, published curves. Imports nothing."""

from collections.abc import Iterable


class AmbiguousNameError(LookupError):
    """A beginning that several names have; the message lists them."""


def unique_match(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate of this name, or else the only one that begins so; None where none does.

    The empty name is the beginning of all. Raises AmbiguousNameError where several begin so and none is it.
    """
    known = dict.fromkeys(candidates)
    found = [name] if name in known else [candidate for candidate in known if candidate.startswith(name)]
    if len(found) > 1:
        raise AmbiguousNameError(f"{name} could be any of {', '.join(found)}")
    return found[0] if found else None
