"""Which cells a sweep has, where an experiment says so: products, pairs, exceptions, seeds, chains, screening.

The node `sweep` of an experiment. Keys are those of overrides, groups included; values are plain.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from lic_exp.ablation_spec import Plain
from lic_exp.config.errors import ConfigError, did_you_mean
from lic_exp.config.overrides import MOST_RUNS
from lic_exp.labels import SEED, label, value_text

MOST_NAMED = 8

Values = dict[str, Any]


class Chain(Plain):
    """Cells that differ in `key` alone start one from another's best weights, in the order of `order`.

    order: values of the key; null: as the product, the pairs or the command line have them.
    """

    key: str
    order: list[Any] | None = None


class Screen(Plain):
    """First every choice at one value of `key` alone; the other values follow for the best `keep` of them.

    Choices are compared by their lowest `val/rd_loss`, the mean over seeds.
    """

    key: str
    value: Any
    keep: int = Field(ge=1)


class Spec(Plain):
    """A sweep: product x zip, without `exclude`, with `include`, each with every seed.

    product: {key: values}. zip: one or several {key: values} whose values move together. include, exclude: {key:
    value}; an exclusion holds for every cell that has all of its values. baseline: the values that `plan=true`
    compares with; the first cell where there are none.
    """

    product: dict[str, list[Any]] = Field(default_factory=dict)
    zip: list[dict[str, list[Any]]] = Field(default_factory=list)
    include: list[Values] = Field(default_factory=list)
    exclude: list[Values] = Field(default_factory=list)
    seeds: list[int] = Field(default_factory=list)
    chain: Chain | None = None
    screen: Screen | None = None
    baseline: Values = Field(default_factory=dict)

    @field_validator("zip", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return [value] if isinstance(value, Mapping) else value

    @model_validator(mode="after")
    def _fits_together(self) -> "Spec":
        for pairs in self.zip:
            if len({len(values) for values in pairs.values()}) > 1:
                lengths = ", ".join(f"{key} {len(values)}" for key, values in pairs.items())
                raise ValueError(f"zip: keys that move together have as many values each: {lengths}")
        axes = [*self.product, *(key for pairs in self.zip for key in pairs), *([SEED] if self.seeds else [])]
        if twice := {key for key in axes if axes.count(key) > 1}:
            raise ValueError(f"{', '.join(sorted(twice))}: a key has its values in one place")
        for name in ("chain", "screen"):
            part = getattr(self, name)
            if part is not None and part.key not in axes:
                raise ValueError(f"{name}.key: {part.key!r} has no values in product or zip")
        if self.chain and self.screen:
            raise ValueError("chain and screen: cells wait for one thing or the other")
        lists = [*self.product.items(), *(pair for pairs in self.zip for pair in pairs.items())]
        for key, values in lists:
            if not values:
                raise ValueError(f"{key}: has no values")
        for key, values in [*self.product.items(), (SEED, self.seeds)]:
            if again := [value for place, value in enumerate(values) if _has(values[:place], value)]:
                raise ValueError(f"{key}: {value_text(again[0])} stands there twice")
        self._check_mentions()
        return self

    def _check_mentions(self) -> None:
        """Raise ValueError where cells are spoken of that are none: that would be passed over in silence."""
        rows = every_row(self, {})
        for entry in self.exclude:
            _check_some("exclude", entry, rows)
        left = [row for row in rows if not any(_matches(row, entry) for entry in self.exclude)]
        if self.baseline:
            _check_some("baseline", self.baseline, left)
        for name, part, values in (
            ("chain.order", self.chain, (self.chain and self.chain.order) or []),
            ("screen.value", self.screen, [self.screen.value] if self.screen else []),
        ):
            for place, value in enumerate(values):
                assert part is not None
                _check_some(name, {part.key: value}, left)
                if _has(values[:place], value):
                    raise ValueError(f"{name}: {value_text(value)} stands there twice")

    @property
    def keys(self) -> list[str]:
        """The keys that have values in it, seeds included."""
        zipped = (key for pairs in self.zip for key in pairs)
        included = (key for cell in self.include for key in cell)
        return list(dict.fromkeys([*self.product, *zipped, *included, SEED]))


@dataclass(frozen=True)
class Point:
    """A cell: the values that tell it from the others.

    after: the place of the cell whose best weights it starts from. group: of a screened sweep, what is compared.
    first: whether it is of the screening itself.
    """

    values: Values
    after: int | None = None
    group: str | None = None
    first: bool = False


def parse_spec(node: Any, where: str) -> Spec:
    """The sweep of a node of plain containers. Raises ConfigError with everything that is wrong in it."""
    try:
        return Spec.model_validate(node)
    except ValidationError as error:
        raise ConfigError(f"{where}: sweep: {_message(fault)}" for fault in error.errors()) from error


def _message(fault: ErrorDetails) -> str:
    place = ".".join(map(str, fault["loc"]))
    kinds: dict[tuple[Any, ...], type[Plain]] = {(): Spec, ("chain",): Chain, ("screen",): Screen}
    if fault["type"] == "extra_forbidden" and (kind := kinds.get(fault["loc"][:-1])) is not None:
        valid = list(kind.model_fields)
        hint = did_you_mean(str(fault["loc"][-1]), valid)
        return f"{place}: there is no such key.{hint} Valid: {', '.join(valid)}"
    return f"{place}: {fault['msg'].removeprefix('Value error, ')}".lstrip(": ")


def every_row(spec: Spec, chosen: Mapping[str, Sequence[Any]]) -> list[Values]:
    """The values of every cell, those that are excluded as well. Raises ConfigError where these are too many.

    chosen: {key: values} of the command line.
    """
    product = {key: list(chosen.get(key, values)) for key, values in spec.product.items()}
    product |= {key: list(values) for key, values in chosen.items() if key not in spec.keys}
    seeds = list(chosen.get(SEED, spec.seeds))
    axes = [[{key: value} for value in values] for key, values in product.items()]
    axes += [[dict(zip(pairs, row, strict=True)) for row in zip(*pairs.values(), strict=True)] for pairs in spec.zip]
    if (count := math.prod(map(len, axes)) * max(1, len(seeds))) > MOST_RUNS:
        raise ConfigError([f"sweep: that is {count} cells, and {MOST_RUNS} are the most"])
    grid = [{k: v for part in parts for k, v in part.items()} for parts in itertools.product(*axes)]
    grid = grid if axes or not spec.include else []
    return [row | seed for row in [*grid, *spec.include] for seed in ([{SEED: value} for value in seeds] or [{}])]


def points(spec: Spec, chosen: Mapping[str, Sequence[Any]]) -> list[Point]:
    """The cells, in order. Raises ConfigError where none is left.

    chosen: {key: values} of the command line. They take the place of a product's or the seeds', choose among cells
    where the key is of a zip or an inclusion, and make a further axis where the sweep does not know the key.
    """
    rows = every_row(spec, chosen)
    if spec.chain and (order := spec.chain.order):
        key = spec.chain.key
        rows.sort(key=lambda row: order.index(row.get(key)) if row.get(key) in order else len(order))
    kept = [row for row in rows if all(key not in row or row[key] in values for key, values in chosen.items())]
    kept = [row for row in kept if not any(_matches(row, entry) for entry in spec.exclude)]
    unique = list({label(row): row for row in kept}.values())
    if not unique:
        raise ConfigError(["sweep: these overrides and exclusions leave no cell"])
    return _related([Point(row) for row in unique], spec)


def _related(cells: list[Point], spec: Spec) -> list[Point]:
    """The cells with what each waits for."""
    if spec.chain:
        last: dict[str, int] = {}
        linked = []
        for place, cell in enumerate(cells):
            group = _label(cell.values, [spec.chain.key])
            linked.append(replace(cell, after=last.get(group)))
            last[group] = place
        return linked
    if spec.screen:
        screen = spec.screen
        if not any(cell.values.get(screen.key) == screen.value for cell in cells):
            raise ConfigError([f"sweep: screen.value: no cell has {screen.key}={screen.value}"])
        return [
            replace(
                cell, group=_label(cell.values, [screen.key, SEED]), first=cell.values.get(screen.key) == screen.value
            )
            for cell in cells
        ]
    return cells


def _matches(row: Values, entry: Values) -> bool:
    return all(key in row and _has([row[key]], value) for key, value in entry.items())


def _has(values: Sequence[Any], value: Any) -> bool:
    """Whether a value is among others; true and 1 are two."""
    return any(one == value and isinstance(one, bool) == isinstance(value, bool) for one in values)


def _check_some(where: str, entry: Values, rows: Sequence[Values]) -> None:
    """Raise ValueError where no cell has all of these values. rows: the values of the cells."""
    if not entry:
        raise ValueError(f"{where}: names no value")
    keys = dict.fromkeys(key for row in rows for key in row)
    for key, value in entry.items():
        if key not in keys:
            raise ValueError(f"{where}: {key!r} is no key of this sweep; it has {', '.join(keys)}")
        known = [row[key] for row in rows if key in row]
        if not _has(known, value):
            there = list(dict.fromkeys(label({key: one}) for one in known))
            more = f" and {len(there) - MOST_NAMED} more" if len(there) > MOST_NAMED else ""
            no = f"{where}: no cell has {label({key: value})}"
            raise ValueError(f"{no}; there are {', '.join(there[:MOST_NAMED])}{more}")
    if not any(_matches(row, entry) for row in rows):
        raise ValueError(f"{where}: no cell has all of {label(entry)}")


def _label(values: Values, without: Sequence[str]) -> str:
    return label({key: value for key, value in values.items() if key not in without})
