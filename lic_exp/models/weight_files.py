"""Where in a file a codec's weights lie, and what other tools have put before their names."""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lic_exp.models.file_kinds import SAVE_ANEW
from lic_exp.models.files import CheckpointError
from lic_exp.models.stand_ins import kind_of
from lic_exp.text import shortened, visible

log = logging.getLogger("lic_exp.models")

WITHIN = ("._orig_mod.", "._fsdp_wrapped_module.", "._checkpoint_wrapped_module.")
"""What torch's wrappers put into the middle of names where a part of a model was wrapped."""

COUNTERS = ("n_averaged",)
"""Tensors of torch's averages that are no weights."""

USUAL = ("state_dict", "model_state_dict", "model")
"""Where a training script's weights lie as a rule: no news to who gave the file."""

DEEPEST = 5
MOST_NAMED = 8
WHOLE_FILE = "."
"""In place of keys: what lies under none."""

READ_AS_TEXT = re.compile(r"(?!(null|true|false|nan|inf)$)[a-z_.][a-z0-9_./-]*", re.IGNORECASE)
"""Places that need no quotes in an override."""


@dataclass(frozen=True)
class Candidate:
    """Tensors that stand together in a file, under the names that a codec would have for them.

    place: the keys that lead there, joined by dots; "" is the file itself.
    taken_off: what was taken from every name. left_out: what else stood there.
    """

    place: str
    weights: dict[str, Tensor]
    taken_off: str = ""
    left_out: tuple[str, ...] = ()

    def shared(self, own: Mapping[str, Tensor]) -> int:
        """How many of a codec's tensors are there, by name and shape."""
        return sum(key in own and value.shape == own[key].shape for key, value in self.weights.items())

    def equals(self, other: "Candidate") -> bool:
        return self.weights.keys() == other.weights.keys() and all(
            _are_equal(value, other.weights[key]) for key, value in self.weights.items()
        )

    def said(self) -> str:
        """What to tell of them; "" of plain weights."""
        parts = [f"the weights lie under {visible(self.place)}"] if self.place else []
        parts += [f"{visible(self.taken_off)} was taken off their names"] if self.taken_off else []
        parts += [f"{some(self.left_out)} left out, no weights"] if self.left_out else []
        return "; ".join(parts)


def _are_equal(one: Tensor, other: Tensor) -> bool:
    plain = all(value.layout == torch.strided and value.device.type == "cpu" for value in (one, other))
    return one is other or (plain and one.dtype == other.dtype and torch.equal(one, other))


def find_weights(content: Any, own: Mapping[str, Tensor], path: Path, place: str | None = None) -> dict[str, Tensor]:
    """A codec's weights in what was read from `path`, by the codec's names as far as wrappers alone changed them.

    own: the codec's tensors, which tell weights from everything else in there.
    place: where they lie; None: where most of the names of `own` are. Weights that are as like as an average beside the
        latest ones are not guessed between.

    Logs what is not plain. Raises CheckpointError where there are none, and where `place` must be given, or is nowhere.
    """
    candidates = [_bare(found, own) for found in _candidates(content)]
    ours = isinstance(content, Mapping) and {"identity", "codec"} <= content.keys()
    if place is not None:
        chosen = _at_place(candidates, place, own, path)
    elif ours and (codecs := [found for found in candidates if found.place == "codec"]):
        return codecs[0].weights
    else:
        chosen = _likeliest(candidates, own, path, content)
    if said := chosen.said():
        usual = chosen.place in ("", *USUAL) and not chosen.taken_off and not chosen.left_out
        log.log(logging.INFO if usual else logging.WARNING, "%s: %s", visible(str(path)), said)
    return chosen.weights


def _candidates(content: Any) -> Iterator[Candidate]:
    """Every mapping of names to tensors, outermost first, each once however often a file has it."""
    level: list[tuple[str, Any]] = [("", content)]
    seen: set[int] = set()
    for _ in range(DEEPEST):
        below: list[tuple[str, Any]] = []
        for place, node in level:
            parts = _parts(node)
            if not parts or id(node) in seen:
                continue
            seen.add(id(node))
            tensors = {key: value for key, value in parts if isinstance(value, Tensor) and isinstance(key, str)}
            if tensors and isinstance(node, Mapping):
                others = tuple(
                    str(key) for key, value in parts if not isinstance(value, Tensor | Mapping | list | tuple)
                )
                yield Candidate(place, tensors, left_out=others if _is_state_dict(tensors) else ())
            below += [(f"{place}.{key}" if place else str(key), value) for key, value in parts]
        level = below


def _parts(node: Any) -> list[tuple[Any, Any]]:
    if isinstance(node, Mapping):
        return list(node.items())
    return list(enumerate(node)) if isinstance(node, list | tuple) else []


def _is_state_dict(tensors: Mapping[str, Tensor]) -> bool:
    return any("." in key for key in tensors)


def _bare(found: Candidate, own: Mapping[str, Tensor]) -> Candidate:
    """Without what wrappers have put into its names, where that leaves names of `own`; else as it is."""
    names = {key: key if key in own else _unwrapped(key) for key in found.weights}
    while not own.keys() & names.values():
        names = {key: name for key, name in names.items() if name not in COUNTERS}
        firsts = {name.partition(".")[0] for name in names.values()}
        if len(firsts) != 1 or not all("." in name for name in names.values()):
            return found
        names = {key: name.partition(".")[2] for key, name in names.items()}
    names = {key: name for key, name in names.items() if name in own or name not in COUNTERS}
    if len(set(names.values())) < len(names):
        return found
    weights = {name: found.weights[key] for key, name in names.items()}
    taken_off = " and ".join(dict.fromkeys(_taken_off(key, name) for key, name in names.items() if key != name))
    counters = tuple(key for key in found.weights if key not in names)
    return replace(found, weights=weights, taken_off=taken_off, left_out=found.left_out + counters)


def _unwrapped(key: str) -> str:
    for part in WITHIN:
        key = key.replace(part, ".")
    return key


def _taken_off(key: str, name: str) -> str:
    return key.removesuffix(name) if key.endswith(name) else " and ".join(part for part in WITHIN if part in key)


def _likeliest(candidates: Sequence[Candidate], own: Mapping[str, Tensor], path: Path, content: Any) -> Candidate:
    if not candidates:
        raise CheckpointError(f"{path} holds no state dict: {_described(content)}; {SAVE_ANEW}")
    best = max(candidates, key=lambda found: (found.shared(own), len(found.weights.keys() & own.keys())))
    least = best.shared(own)
    rivals = [found for found in candidates if least and 2 * found.shared(own) >= least and not found.equals(best)]
    if rivals:
        places = [found.place for found in candidates if found is best or found in rivals]
        named = _listed([place or "no key" for place in places], "and")
        raise CheckpointError(f"{path} holds weights under {named}: say which, {_options(places)}")
    if not best.weights.keys() & own.keys():
        groups = [group for found in candidates for group in _by_prefix(found) if _bare(group, own).shared(own)]
        if groups:
            places = [group.place for group in groups]
            raise CheckpointError(f"{path} holds weights among others: take those of one name, {_options(places)}")
        best = max(candidates, key=lambda found: len(found.weights))
    return best


def _by_prefix(found: Candidate) -> Iterator[Candidate]:
    """The tensors of each first part of the names, where there is more than one."""
    for first in dict.fromkeys(key.partition(".")[0] for key in found.weights):
        prefix = f"{first}."
        weights = {key.removeprefix(prefix): value for key, value in found.weights.items() if key.startswith(prefix)}
        if weights:
            yield Candidate(f"{found.place}.{first}" if found.place else first, weights)


def _at_place(candidates: Sequence[Candidate], place: str, own: Mapping[str, Tensor], path: Path) -> Candidate:
    """The candidate there, or those of one's tensors whose names go on as `place` does."""
    for found in candidates:
        if found.place == place or (not found.place and place == WHOLE_FILE):
            return found
        prefix = f"{place.removeprefix(f'{found.place}.') if found.place else place}."
        under = {key.removeprefix(prefix): value for key, value in found.weights.items() if key.startswith(prefix)}
        if under and place.startswith(f"{found.place}." if found.place else ""):
            return _bare(Candidate(place, under), own)
    places = [found.place for found in candidates if found.place]
    there = f"there are tensors under {some(places)}" if places else "its tensors lie under no key"
    raise CheckpointError(f"{path} holds no weights under {visible(place)}: {there}")


def _options(places: Sequence[str]) -> str:
    return _listed([_option(place or WHOLE_FILE) for place in places], "or")


def _option(place: str) -> str:
    """As a shell and the grammar of overrides take it: 0 unquoted is a number, and a blank ends a word."""
    if READ_AS_TEXT.fullmatch(place):
        return f"model.weights_key={place}"
    escaped = re.sub(r'(\\*)("|$)', lambda found: found[1] * 2 + ('\\"' if found[2] else ""), place)
    return f"'model.weights_key=\"{escaped}\"'"


def _listed(texts: Sequence[str], conjunction: str) -> str:
    shown = [shortened(visible(text), 80) for text in texts[:MOST_NAMED]]
    return f"{', '.join(shown[:-1])} {conjunction} {shown[-1]}" if len(shown) > 1 else shown[0]


def _described(content: Any) -> str:
    """What stands in a file that has no tensors under names."""
    if not isinstance(content, Mapping):
        return f"it is {kind_of(content)}"
    entries = [f"{key} ({_kind_within(value)})" for key, value in content.items()]
    return f"it holds {some(entries)}" if entries else "it is an empty dictionary"


def _kind_within(value: Any) -> str:
    """Of containers also what they hold first."""
    parts = _parts(value)
    return f"{kind_of(value)} of {kind_of(parts[0][1])}" if parts else kind_of(value)


def some(texts: Sequence[str], most: int = MOST_NAMED) -> str:
    """The first of them, and how many more there are, on one line."""
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return f"{', '.join(shortened(visible(text), 120) for text in texts[:most])}{more}"
