"""What is wrong with a config's keys and values, in words that help."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic_core import ErrorDetails

from lic_exp.config.errors import did_you_mean, likeness, nearest
from lic_exp.config.options import conf_folders, options
from lic_exp.config.schema import StageOverrides
from lic_exp.text import shortened

# What people coming from other training scripts type first, and where it lives here.
SYNONYMS = {
    "checkpoint": "model.weights",
    "cuda": "trainer.device",
    "epochs": "trainer.max_epochs",
    "lambda": "criterion.lmbda",
    "learning_rate": "optimizer.lr",
    "lmbda": "criterion.lmbda",
    "model_name": "model",
    "patch_size": "data.crop_size",
    "save_path": "paths.runs",
    "steps": "trainer.max_steps",
    "test_dataset": "data.val",
    "train_dataset": "data.train",
    "truncation_epochs": "spectral_reg.truncation_length",
}

STAGE_KEYS = tuple(StageOverrides.model_fields)


def value_messages(prefix: str, details: list[ErrorDetails]) -> Iterator[str]:
    """One message per value; a union such as `int | None` reports each of its members, which belong together."""
    by_key: dict[str, list[ErrorDetails]] = {}
    for detail in details:
        by_key.setdefault(str(detail["loc"][0]), []).append(detail)
    for key, group in by_key.items():
        for place in dict.fromkeys(filter(None, map(_place, group))) or [""]:
            here = [detail for detail in group if _place(detail) in (place, "")]
            if here[0]["type"] == "missing":
                yield f"{prefix}{key}{place} must be given"
            elif here[0]["type"] == "extra_forbidden":
                word = place.rpartition(".")[2]
                known = f".{did_you_mean(word, STAGE_KEYS)} Valid: {', '.join(STAGE_KEYS)}" if key == "stages" else ""
                yield f"{prefix}{key}{place}: there is no such key{known}"
            else:
                wants = dict.fromkeys(_want(detail) for detail in here)
                given = here[0]["input"]
                hint = f"; {in_quotes(prefix + key, given, place)}" if "should be a string" in wants else ""
                yield f"{prefix}{key}{place}={shortened(str(given), 80)}: {' or '.join(wants)}{hint}".removesuffix("; ")


def in_quotes(key: str, given: object, place: str = "") -> str:
    """How a number or a truth value is written where a text is wanted, or nothing for what is neither."""
    if not isinstance(given, bool | int | float):
        return ""
    text = f'"{given}"' if type(given) is int else '"..."'
    entry = f"[{text}]" if place else text
    return f"in quotes it is one, '{key}={entry}'"


def _place(detail: ErrorDetails) -> str:
    """Where in a list, and in an entry of it: [0].steps. Without the types by which pydantic tells unions apart."""
    place = ""
    for part in detail["loc"][1:]:
        if isinstance(part, int):
            place += f"[{part}]"
        elif place:
            place += f".{part}"
    return place


def _want(detail: ErrorDetails) -> str:
    message = detail["msg"].removeprefix("Input ").partition(" or instance of")[0]
    return message.replace("valid ", "").replace("an integer", "a whole number").replace("a integer", "a whole number")


def unknown_key(key: str, path: str, keys: Sequence[str], known: Sequence[str], config: Mapping[str, Any]) -> str:
    """What to do instead: the same word elsewhere, a similar one here, or another option of the group that has it."""
    prefix = f"{path}." if path else ""
    word = key.replace("-", "_").lower()
    leaves = {leaf.split(".")[-1]: leaf for leaf in known}
    elsewhere = SYNONYMS.get(word) or leaves.get(word)
    near, here = nearest(word, leaves), nearest(key, keys)
    if elsewhere == "criterion.lmbda" and "criterion.lmbda_min" in known:
        hint = " This criterion draws a lmbda per image: set its range, criterion.lmbda_min and criterion.lmbda_max."
    elif elsewhere and elsewhere != prefix + key:
        hint = f" Did you mean {elsewhere}?"
    else:
        meant = prefix + here if here else ""
        if near and (not here or likeness(near, word) > likeness(here, word)):
            meant = leaves[near]
        hint = f" Did you mean {meant}?" if meant else ""
    having = [f"{path}={option}" for option in _options_with(path, key, config)] if path else []
    if having:
        hint += f" {' and '.join(having)} {'have' if len(having) > 1 else 'has'} it."
    if not keys:
        return f"{prefix}{key}: there is no such key; {path} has no options.{hint}"
    return (
        f"{prefix}{key}: there is no such key.{hint} Valid {f'keys of {path}' if path else 'keys'}: {', '.join(keys)}"
    )


def _options_with(group: str, key: str, config: Mapping[str, Any]) -> Iterator[str]:
    """The options of a group whose files state `key`."""
    from lic_exp.records import RecordError  # only a refusal needs them
    from lic_exp.yaml_files import read_yaml

    files = [path for folder in conf_folders(config["plugins"] or []) for path in folder.glob(f"{group}/*.yaml")]
    for path in sorted(files, key=lambda path: path.stem):
        try:
            stated = read_yaml(path)
        except (RecordError, FileNotFoundError):  # who chooses it is told what is wrong with it
            continue
        if isinstance(stated, Mapping) and key in stated:
            yield path.stem


def not_chosen(group: str, name: str, config: Mapping[str, Any]) -> str:
    """What to say of an entry of a group of components that is no component."""
    node, path = config[group], f"{group}.{name}"
    chosen = [other for other, part in node.items() if isinstance(part, Mapping) and "_target_" in part]
    if isinstance(node[name], Mapping):
        path = f"{path}.{next(iter(node[name]), '')}".removesuffix(".")
    if name in options(group, config["plugins"] or []):
        choice = f"[{','.join([*chosen, name])}]" if chosen else name
        return f"{path}: {name} is not chosen; choose {group}={choice}"
    having = [f"{group}.{other}.{name}" for other in chosen if name in node[other]]
    near = f" Did you mean {' or '.join(having)}?" if having else did_you_mean(name, chosen, f"{group}.")
    return f"{path}: there is no such key.{near} Chosen: {', '.join(f'{group}.{other}' for other in chosen) or 'none'}"
