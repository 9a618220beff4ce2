"""Names: found by their unique beginning (runs, sweeps, cells, published curves), and made of other people's words."""

import re
from collections.abc import Callable, Iterable
from itertools import chain, count
from pathlib import PurePath


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


def file_name(text: str, most_bytes: int = 40, *, otherwise: str) -> str:
    """The text as part of a file's name, in any file system: letters, digits and _ . - alone, and no more bytes.

    otherwise: what to take where nothing of it is left. Different texts may come to the same name.
    """
    plain = re.sub(r"[^\w.-]+", "_", text).encode(errors="replace")[:most_bytes]
    return plain.decode(errors="ignore").strip("._") or otherwise


def picture_stem(image: str) -> str:
    """What the name of an image's picture has of the image's own; of two images it may be the same."""
    return file_name(PurePath(image).stem, 100, otherwise="image")


class UniqueNames:
    """Names made from others by a function that may give one for two: the second is numbered.

    ignoring_case: names that differ in case alone are one too, as they are to some file systems.
    """

    def __init__(self, form: Callable[[str], str], *, ignoring_case: bool = True) -> None:
        self._form = form
        self._key: Callable[[str], str] = str.casefold if ignoring_case else str
        self._taken: set[str] = set()

    def of(self, name: str) -> str:
        """The name of the next one; none that was given before."""
        formed = self._form(name)
        numbered = (f"{formed} ({number})" for number in count(2))
        found = next(one for one in chain([formed], numbered) if self._key(one) not in self._taken)
        self._taken.add(self._key(found))
        return found
