"""Which file becomes which: files, folders and patterns in, names of files out. Imports nothing heavy."""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from lic_exp.data.images import list_images
from lic_exp.data.walking import SUFFIXES
from lic_exp.files.layout import SUFFIX as LIC
from lic_exp.text import listed, visible


class PairsError(ValueError):
    """Inputs or outputs that cannot be as they were named."""


@dataclass(frozen=True)
class Pair:
    """A file and what is made of it. Both are absolute."""

    source: Path
    target: Path


def pairs(
    places: Sequence[str],
    out: str | None,
    *,
    suffix: str,
    single: Collection[str],
    pattern: str = "",
    force: bool = False,
) -> list[Pair]:
    """What becomes of the files at these places.

    places: files, folders with all below them, or patterns for names in a folder.
    out: a folder, in which a file that was found below a folder stands as it stood there; or of one file that is named
        itself, and where `out` ends in one of `single`, the file. None: each beside what it is made of.
    suffix: of the new files, in place of their own. pattern: of names in a folder; none: those of images.
    force: whether files that are there may be replaced.

    Raises PairsError, and ImageError where nothing is found.
    """
    listings = [list_images(_searched(place, pattern)) for place in places]
    found = list(dict.fromkeys((each.path, each.name) for listing in listings for each in listing))
    if out is None:
        made = [Pair(path, path.with_suffix(suffix)) for path in dict(found)]
    else:
        made = _within(out, found, suffix, single)
    _check(made, force=force)
    return made


def _within(out: str, found: Sequence[tuple[Path, str]], suffix: str, single: Collection[str]) -> list[Pair]:
    """What becomes of files and their names in a folder, or of one as a file."""
    target = Path(os.path.abspath(os.path.expanduser(out)))
    as_file = target.suffix.lower() in single and not target.is_dir()
    if as_file and len(found) > 1:
        raise PairsError(f"{visible(out)} is one file, but there are {len(found)} to be made: name a folder")
    looks_like_file = target.suffix.lower() in {*SUFFIXES, LIC}
    if not as_file and not target.is_dir() and (target.exists() or looks_like_file):
        what = "is a file" if target.exists() else f"is named as a {target.suffix} file, which is not made here"
        raise PairsError(f"{visible(out)} {what}: name a folder, or a file that ends in {' or '.join(single)}")
    return [Pair(path, target if as_file else (target / name).with_suffix(suffix)) for path, name in found]


def _searched(place: str, pattern: str) -> str:
    return os.path.join(place, pattern) if pattern and os.path.isdir(os.path.expanduser(place)) else place


def _check(made: Sequence[Pair], *, force: bool) -> None:
    sources: dict[Path, Path] = {}
    for pair in made:
        other = sources.setdefault(pair.target, pair.source)
        if other != pair.source:
            raise PairsError(f"{other} and {pair.source} would both become {pair.target}: give them other names")
    if both := sources.keys() & sources.values():
        raise PairsError(f"{min(both)} would be replaced by what is made of it: name another place")
    if folders := [str(target) for target in sources if target.is_dir()]:
        raise PairsError(f"{folders[0]} is a folder, where a file is to be")
    there = [str(target) for target in sources if os.path.lexists(target)]
    if there and not force:
        named = listed(there, 3)
        raise PairsError(f"{len(there)} of {len(sources)} are there already and stay: {named}; --force replaces them")
