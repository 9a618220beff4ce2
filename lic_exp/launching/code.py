"""Which code a result was made by: a hash of what can change it, deaf to comments, docstrings and layout."""

import ast
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

import lic_exp
from lic_exp.catalogue import source_file

NEUTRAL = ("launching", "tracking", "conf", "__main__.py", "__init__.py", "atomic.py", "catalogue.py", "tables.py")
"""What of the package starts and records runs, but computes nothing of their results."""

COMPUTING = tuple(f"launching/{name}.py" for name in ("build", "evaluate_run", "execute", "stages", "train_run"))


@cache
def code_hash(plugins: tuple[str, ...] = ()) -> str | None:
    """16 hexadecimal digits for the package as it lies on disk now, and the user's own packages.

    None where one of those cannot be found from here, so that nothing can be said.
    """
    if any(source_file(plugin) is None for plugin in plugins):
        return None
    digest = hashlib.sha256()
    for name, path in sorted(_files(plugins)):
        digest.update(f"{name}\0{_meaning(path)}\0".encode())
    return digest.hexdigest()[:16]


def packages(plugins: Sequence[str]) -> list[Path]:
    """The folders of this package and of the user's own."""
    found = (source_file(plugin) for plugin in plugins)
    own = [path.parent if path.name == "__init__.py" else path for path in found if path is not None]
    return [Path(lic_exp.__file__).parent, *own]


def _files(plugins: Iterable[str]) -> Iterator[tuple[str, Path]]:
    ours, *theirs = packages(list(plugins))
    for path in ours.rglob("*.py"):
        name = path.relative_to(ours).as_posix()
        if name.split("/")[0] not in NEUTRAL or name in COMPUTING:
            yield name, path
    for place in theirs:
        for path in place.rglob("*.py") if place.is_dir() else [place]:
            yield path.relative_to(place.parent).as_posix(), path


def _meaning(path: Path) -> str:
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return text
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            body[0].value.value = ""
    return ast.dump(tree)
