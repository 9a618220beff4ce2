"""The shape of the house, measured: circles, upward arrows, long files, big rooms, names given twice.

    python tests/architecture.py

reads `lic_exp` and `analysis` as syntax, imports nothing of them, and counts every import alike: at the top of a file,
inside a function, under TYPE_CHECKING. Exit code 1 where a limit is broken. import-linter checks the same layers, but
knows nothing of circles among the modules of one room.
"""

import ast
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
HOUSE = "lic_exp"
PACKAGES = (HOUSE, "analysis")

LONGEST_FILE, LONGEST_TEST = 300, 400
"""Lines."""

LARGEST_SHARE = 0.2
"""Of the package's lines in one room, all its folders included."""

CONFIG_LOOKUP = re.compile(r"""config\[["']""")
PLACES = {
    re.compile(r"(?<![.\w])print\(|std(out|err)\.write|\bConsole\(|rich\.markup"): (
        "lic_exp.saying",
        "lic_exp.console",
    ),
    re.compile(r"csv\.(writer|DictWriter)|\.to_csv\("): ("lic_exp.csv_text",),
    re.compile(r"torch\.(rand|randn|randint|randperm|normal|bernoulli)(_like)?\(|[dD]ropout\("): (
        "lic_exp.models.noise",
        "lic_exp.training.objective",
    ),
}
"""What may be done in these modules alone: there text of others is made harmless, and what is drawn at random is a
function of seed and step."""

MAPPINGS = ("Mapping", "MutableMapping", "dict", "Dict")
GENERIC = (*MAPPINGS, "tuple", "list", "set", "frozenset", "Literal", "Callable", "Sequence", "Iterable", "Union")

Graph = Mapping[str, frozenset[str]]
"""{module: the modules that it imports}"""


def modules(root: Path, packages: Iterable[str] = PACKAGES) -> dict[str, Path]:
    """{dotted name: file}; a package's name is that of its `__init__.py`."""
    found = {}
    for package in packages:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


class Source(NamedTuple):
    """What a file's syntax says: imports wherever they stand, classes likewise, and what names are assigned to."""

    imports: list[ast.Import | ast.ImportFrom]
    classes: list[str]
    aliases: list[tuple[str, ast.expr]]


def source(path: Path) -> Source:
    return _source(path.read_text(encoding="utf-8"))


@cache
def _source(text: str) -> Source:
    tree = ast.parse(text)
    nodes = list(ast.walk(tree))
    return Source(
        [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)],
        [node.name for node in nodes if isinstance(node, ast.ClassDef)],
        list(_aliases(tree)),
    )


def import_graph(files: Mapping[str, Path]) -> Graph:
    return {name: frozenset(_imports(name, path, files)) for name, path in files.items()}


def _imports(name: str, path: Path, files: Mapping[str, Path]) -> Iterator[str]:
    """The modules of `files` that this one names; that a module's packages are loaded before it is not counted."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in source(path).imports:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in files and alias.name != name)
        else:
            parents = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            for alias in node.names:
                target = f"{base}.{alias.name}"
                target = target if target in files else base
                if target in files and target != name:
                    yield target


def circles(graph: Graph) -> list[list[str]]:
    """The strongly connected components of two modules or more (Tarjan 1972), each sorted."""
    index: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = lowest[module] = len(index)
        stack.append(module)
        for target in sorted(graph[module]):
            if target not in index:
                visit(target)
                lowest[module] = min(lowest[module], lowest[target])
            elif target in stack:
                lowest[module] = min(lowest[module], index[target])
        if lowest[module] == index[module]:
            place = stack.index(module)
            component = stack[place:]
            del stack[place:]
            if len(component) > 1:
                found.append(sorted(component))

    for module in graph:
        if module not in index:
            visit(module)
    return sorted(found)


def layers(root: Path) -> dict[str, int]:
    """{room: height} by import-linter's contract; rooms of one height may not import each other."""
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    (contract,) = (contract for contract in settings["contracts"] if contract["type"] == "layers")
    rows = reversed(contract["layers"])
    return {room.strip(" ()"): height for height, row in enumerate(rows) for room in row.split("|")}


def upward_arrows(graph: Graph, heights: Mapping[str, int]) -> list[str]:
    """Imports of a room that is higher, or beside the own one; imports that run out of the house; unknown rooms."""
    found = []
    for module, targets in graph.items():
        if not module.startswith(f"{HOUSE}."):
            continue
        room = module.split(".")[1]
        if room not in heights:
            found.append(f"{module} is in no layer")
            continue
        for target in sorted(targets):
            own_package, _, rest = target.partition(".")
            other = rest.split(".")[0]
            if own_package != HOUSE:
                found.append(f"{module} -> {target} (out of {HOUSE})")
            elif other and other != room and heights.get(other, -1) >= heights[room]:
                found.append(f"{module} -> {target} ({'up' if heights[other] > heights[room] else 'beside'})")
    return found


def line_count(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def long_files(root: Path) -> list[str]:
    limits = dict.fromkeys(PACKAGES, LONGEST_FILE) | {"tests": LONGEST_TEST}
    counted = {
        path: (line_count(path), limit) for name, limit in limits.items() for path in modules(root, [name]).values()
    }
    over = sorted(((count, path) for path, (count, limit) in counted.items() if count > limit), reverse=True)
    return [f"{path.relative_to(root).as_posix()} has {count} lines" for count, path in over]


def room_shares(files: Mapping[str, Path]) -> dict[str, float]:
    """{room: share of the package's lines}, biggest first; a file beside the rooms is none."""
    lines = {name: line_count(path) for name, path in files.items() if name.split(".")[0] == HOUSE}
    rooms: Counter[str] = Counter()
    for name, count in lines.items():
        if len(files[name].parts) - len(files[HOUSE].parts) > 0:
            rooms[name.split(".")[1]] += count
    total = sum(lines.values())
    return {room: count / total for room, count in rooms.most_common()}


def repeated_types(files: Mapping[str, Path]) -> list[str]:
    """Names of classes and type aliases that are given in more than one place."""
    places: dict[str, list[str]] = {}
    for module, path in files.items():
        found = source(path)
        named = [name for name, value in found.aliases if _generic(value) in GENERIC]
        for name in [*found.classes, *named]:
            places.setdefault(name, []).append(module)
    return [f"{name}: {', '.join(where)}" for name, where in sorted(places.items()) if len(where) > 1]


def _aliases(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """(name, what it stands for) of assignments outside of functions and classes, `X: TypeAlias = "..."` among them."""
    for node in _statements(tree.body):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name, value = node.targets[0].id, node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            name, value = node.target.id, node.value
        else:
            continue
        if isinstance(value, ast.Constant) and isinstance(value.value, str) and isinstance(node, ast.AnnAssign):
            value = _parsed(value.value) or value
        yield name, value


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        if isinstance(node, ast.If):
            yield from _statements([*node.body, *node.orelse])


def _parsed(text: str) -> ast.expr | None:
    try:
        return ast.parse(text, mode="eval").body
    except SyntaxError:
        return None


def _generic(value: ast.expr) -> str:
    """`Mapping` of `Mapping[str, Any]`, `typing.Mapping[...]`; "" of anything else."""
    head = value.value if isinstance(value, ast.Subscript) else None
    return head.attr if isinstance(head, ast.Attribute) else head.id if isinstance(head, ast.Name) else ""


def config_lookups(files: Mapping[str, Path]) -> list[str]:
    """`config["..."]` outside the room that knows configs as plain mappings."""
    return [
        f"{module}:{number}"
        for module, path in files.items()
        if not f"{module}.".startswith(f"{HOUSE}.config.")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if CONFIG_LOOKUP.search(line)
    ]


def done_elsewhere(files: Mapping[str, Path]) -> list[str]:
    """Lines that do what has its place, in another one."""
    return [
        f"{module}:{number}"
        for module, path in files.items()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if any(pattern.search(line) and module not in places for pattern, places in PLACES.items())
    ]


def config_aliases(files: Mapping[str, Path]) -> list[str]:
    """Names like Config that stand for a mapping of anything."""
    return [
        f"{module}: {name} = {ast.unparse(value)}"
        for module, path in files.items()
        for name, value in source(path).aliases
        if re.search("config|node", name, re.IGNORECASE)
        and _generic(value) in MAPPINGS
        and ast.unparse(value).endswith("[str, Any]")
    ]


def findings(root: Path) -> dict[str, list[str]]:
    """{what is to be avoided: where it is}; nothing but empty lists where every limit is kept."""
    files = modules(root)
    graph = import_graph(files)
    crowded = [f"{HOUSE}/{room}" for room, share in room_shares(files).items() if share > LARGEST_SHARE]
    return {
        "circles": [" <-> ".join(members) for members in circles(graph)],
        "upward arrows": upward_arrows(graph, layers(root)),
        "long files": long_files(root),
        "big rooms": crowded,
        "type names given twice": repeated_types(files),
        "done elsewhere than in its place": done_elsewhere(files),
        "configs looked into by key": config_lookups(files),
        "mappings called a config": config_aliases(files),
    }


def report(root: Path, found: Mapping[str, list[str]]) -> str:
    """What was counted, and below it where what is to be avoided is."""
    room, share = next(iter(room_shares(modules(root)).items()))
    lines = [", ".join(f"{what} {len(where)}" for what, where in found.items())]
    lines += [f"biggest room: {HOUSE}/{room} with {share:.1%} of {HOUSE}'s lines"]
    lines += [f"{what}: {place}" for what, where in found.items() for place in where]
    return "\n".join(lines)


def main(root: Path = ROOT) -> int:
    found = findings(root)
    print(report(root, found))
    return 1 if any(found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
