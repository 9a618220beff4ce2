"""Writes docs/configuration.md, the reference of every key, from conf/ and the types that overrides are checked by.

    python docs/generate_configuration.py

Values and explanations come from the YAML files, types from `lic_exp.config.schema` and the components' own
constructors, so nothing is said twice; tests/test_docs.py fails where the file is not what this makes.
"""

import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import yaml
from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from lic_exp.component_schema import describe
from lic_exp.config.nodes import Node
from lic_exp.config.options import groups, options
from lic_exp.config.schema import GROUPS, SEVERAL, RunConfig
from lic_exp.option_types import Unsigned
from lic_exp.places import conf_folder

FILE = Path(__file__).with_name("configuration.md")
BOUNDS = {Ge: (">=", "ge"), Gt: (">", "gt"), Le: ("<=", "le"), Lt: ("<", "lt")}
PLAIN = {int: "whole number", float: "number", str: "text", bool: "true or false"}
T = TypeVar("T")
INTRODUCTION = """# Every key

Made by `docs/generate_configuration.py` from `conf/` and the types that overrides are checked by; do not edit.

A group's option is chosen as `group=option`, a value set as `group.key=value`. Values below are what stands in the
option's file; `python launch.py --cfg job` shows them composed. Keys marked "no" under *signed* cannot change what is
trained, and stay out of the run's signature. Images and weights are signed by their content, wherever they lie.
"""


def reference() -> str:
    """The whole page, as Markdown."""
    return "\n".join(
        [INTRODUCTION, *_top_level(), *(line for group in GROUPS for line in _group(group)), *_additions()]
    )


def _top_level() -> Iterator[str]:
    text = (conf_folder() / "config.yaml").read_text()
    fields = {key: field for key, field in RunConfig.model_fields.items() if key not in GROUPS}
    values = yaml.safe_load(text)
    yield from _section("Top level", "conf/config.yaml", "")
    yield from _table({key: (*_field(field), values[key]) for key, field in fields.items()}, _comments(text))


def _group(group: str) -> Iterator[str]:
    several = f" Several at once: `{group}=[ONE,ANOTHER]`." if group in SEVERAL else ""
    yield from _section(f"`{group}`", f"conf/{group}", f"Default: `{group}={_default(group)}`.{several}")
    for option in options(group):
        path = conf_folder() / group / f"{option}.yaml"
        text = path.read_text()
        values = yaml.safe_load(text) or {}
        entries = [entry for entry in values.pop("defaults", []) if entry != "_self_"]
        base = next((entry for entry in entries if "@" not in entry), None)
        changed = ", ".join(f"{key}={value}" for key, value in values.items())
        inherits = f"As `{base}`, with `{changed}`. " if base else ""
        inherits += "".join(_part(*entry.split("@"), values) for entry in entries if "@" in entry)
        yield f"**`{group}={option}`** {inherits}{_heading(text)}".strip()
        yield ""
        if base is None and group in SEVERAL:
            for name, node in values.items():
                rows = _typed(group, node.pop("_target_"), node)
                comments = _comments(text.replace("\n  ", "\n"))
                yield from _table(_prefixed(name, rows), _prefixed(name, comments))
        elif base is None:
            target = values.pop("_target_", None)
            yield from _table(_typed(group, target, values), _comments(text))


def _part(base: str, key: str, values: dict[str, Any]) -> str:
    """A part whose keys are another option's; what it changes is taken out of `values`."""
    changed = ", ".join(f"{name}={_yaml(value)}" for name, value in values.pop(key, {}).items())
    return f"`{key}.KEY` as `{base}` has them{f', with `{changed}`' if changed else ''}. "


def _prefixed(name: str, values: dict[str, T]) -> dict[str, T]:
    return {f"{name}.{key}": value for key, value in values.items()}


def _typed(group: str, target: str | None, values: dict[str, Any]) -> dict[str, tuple[Any, bool, Any]]:
    """{key: (type, whether it is signed, value)} in the order of the YAML file."""
    whole_group_unsigned = not _field(RunConfig.model_fields[group])[1]
    kinds: dict[str, tuple[Any, bool]] = {key: _field(field) for key, field in GROUPS[group].model_fields.items()}
    own = describe(target).options if target else {}
    kinds |= {key: (kind, not _marked(getattr(kind, "__metadata__", ()))) for key, kind in own.items()}
    return {key: (kinds[key][0], kinds[key][1] and not whole_group_unsigned, value) for key, value in values.items()}


def _field(field: FieldInfo) -> tuple[Any, bool]:
    kind = typing.Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    return kind, not _marked(field.metadata)


def _marked(metadata: typing.Iterable[Any]) -> bool:
    return any(isinstance(mark, Unsigned) for mark in metadata)


def _additions() -> Iterator[str]:
    """Groups without keys of their own, whose options change others."""
    for group in groups():
        if group in GROUPS or not options(group):
            continue
        yield from _section(f"`{group}`", f"conf/{group}", "None by default; its options change keys of the others.")
        for option in options(group):
            text = (conf_folder() / group / f"{option}.yaml").read_text()
            yield f"**`{group}={option}`** {_heading(text)}".strip()
            yield ""


def _section(title: str, place: str, sentence: str) -> Iterator[str]:
    yield from (f"## {title}", "", f"In `{place}`. {sentence}".strip(), "")


def _default(group: str) -> str:
    defaults = yaml.safe_load((conf_folder() / "config.yaml").read_text())["defaults"]
    return str(next(entry[group] for entry in defaults if isinstance(entry, dict) and group in entry))


def _table(rows: dict[str, tuple[Any, bool, Any]], comments: dict[str, str]) -> Iterator[str]:
    if not rows:
        return
    yield "| key | value | type | signed | meaning |"
    yield "|---|---|---|---|---|"
    for key, (kind, signed, value) in rows.items():
        cells = [f"`{key}`", f"`{_yaml(value)}`", type_text(kind), "yes" if signed else "no", comments.get(key, "")]
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n").strip()


def _heading(text: str) -> str:
    """The first paragraph of the comment at the head of a file, as one line."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#") or line == "#":
            break
        if not line.startswith("# @package"):
            lines.append(line.lstrip("# "))
    return " ".join(lines)


def _comments(text: str) -> dict[str, str]:
    """{key: the comment on its line} of a YAML text's top level."""
    split = (line.partition("#") for line in text.splitlines() if line[:1].isalpha())
    return {code.partition(":")[0]: comment.strip() for code, _, comment in split if comment}


def type_text(kind: Any) -> str:
    """A type as `lic_exp.option_types` explains them, in words."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is typing.Annotated:
        return " ".join(filter(None, [type_text(arguments[0]), _range(arguments[1:])]))
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (types.UnionType, typing.Union):
        parts = [type_text(part) for part in arguments if part is not type(None)]
        return " or ".join([*parts, *(["null"] if type(None) in arguments else [])])
    if origin is list:
        return f"list of: {type_text(arguments[0])}"
    if origin is dict:
        return f"mapping of {type_text(arguments[0])} to: {type_text(arguments[1])}"
    return PLAIN.get(kind) or _keys_text(kind)


def _keys_text(node: type[Node]) -> str:
    return f"mapping with the keys {', '.join(node.model_fields)}"


def _range(marks: tuple[Any, ...]) -> str:
    bounds = [
        f"{sign} {getattr(mark, name):g}"
        for mark in marks
        for kind, (sign, name) in BOUNDS.items()
        if isinstance(mark, kind)
    ]
    return " and ".join(bounds)


if __name__ == "__main__":
    FILE.write_text(reference())
