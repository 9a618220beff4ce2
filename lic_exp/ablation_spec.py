"""What an ablation table is: its rows, seeds and rates, once for the runs that fill it and for the analysis.

A table is the node `table` of a file in `conf/experiment`. Nothing in it can change a run's result except the
`overrides` that a row stands for, which are composed like any others; the node itself is never signed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lic_exp.file_kinds import HEAD_BYTES, no_text
from lic_exp.places import conf_folder
from lic_exp.records import RecordError
from lic_exp.yaml_files import read_yaml

FOLDER = ".tables"
"""Where the manifests of tables lie, inside the folder of runs."""

RateChoice = dict[str, float | int | str]

T = TypeVar("T")


class TableError(ValueError):
    """A table that cannot be read; says which file and what is wrong in it."""


class Plain(BaseModel):
    """Strict: no unknown keys."""

    # Built when first validated by: most starts read no table.
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, defer_build=True)


Direction = Literal["less", "more"]
"""A claim without a size: less or more than the row that it is against."""


class Claim(Plain):
    """The paper's figures for a row, as far as a source states them, against the row that it is compared with.

    speed_up: times fewer epochs. bd_rate: [%]. note: what is said without a number.
    others: further figures by what they are, e.g. {"BD-rate % against VTM-22.0, Kodak": -19.73}; they are shown, not
        judged.
    """

    speed_up: float | Direction | None = None
    bd_rate: float | Direction | None = None
    note: str = ""
    others: dict[str, float | str] = {}

    @property
    def judged(self) -> Literal["speed_up", "bd_rate"] | None:
        """The figure that is judged first: the speed-up where one is claimed; None where neither is."""
        return "speed_up" if self.speed_up is not None else "bd_rate" if self.bd_rate is not None else None


class Variant(Plain):
    """A row.

    overrides: what makes its runs differ from the rest of the file; null: it cannot be run here, and `why` says so.
    at_scale: by option of `scale` what follows these overrides there, since a row may need another model at another
        budget; null: it is not run there, and `why` says so.
    against: the row that it is compared with; null: the table's baseline; itself: it is a baseline of its own.
    longer: times the length of the others. A row that is claimed to be slower, c times as fast with c below 1, shows it
        in a training of 1.5 / c times the length only; its quality is then not compared.
    rates: as the table's, where this row needs other trainings for its rates than the others; it is then compared with
        anchors alone.
    """

    label: str
    overrides: list[str] | None
    at_scale: dict[str, list[str] | None] = {}
    against: str | None = None
    longer: float = Field(default=1.0, ge=1.0)
    rates: dict[str, list[float | int | str]] = {}
    why: str = ""
    paper: Claim = Claim()

    @model_validator(mode="after")
    def _says_why(self) -> "Variant":
        if self.overrides is None and not self.why:
            raise ValueError("overrides: null wants a `why`")
        if self.overrides is None and self.at_scale:
            raise ValueError("at_scale: has nothing to follow where overrides are null")
        if None in self.at_scale.values() and not self.why:
            raise ValueError("at_scale: null wants a `why`")
        return self

    def at(self, scale: str | None) -> "Variant":
        """The row as it is at a scale, where `overrides` are all there is to say; None: where none is chosen."""
        more = self.at_scale.get(scale, []) if scale is not None else []
        overrides = None if self.overrides is None or more is None else [*self.overrides, *more]
        return self.model_copy(update={"overrides": overrides, "at_scale": {}})


class Table(Plain):
    """An ablation: every variant at every rate and seed, compared with the baseline of the same seed.

    paper: heads the paper's column with what it is: its model, data and budget.
    baseline: the variant that the others are compared with.
    primary: the row that the table is made for: its claimed speed-up, or its BD-rate where it has none; the other
        claims are held to a stricter level (Holm).
    seeds: one training each; aa_seeds: as many further trainings of the baseline, for the A/A row, or none.
    rates: {config key: values}, one training each, or none where one training serves all rates.
    anchors: published curves that every row is compared with, too, e.g. kodak/vtm_22.0.
    """

    title: str
    paper: str
    baseline: str
    primary: str | None = None
    seeds: list[int] = Field(min_length=1)
    aa_seeds: list[int] = []
    rates: dict[str, list[float | int | str]] = {}
    anchors: list[str] = []
    notes: list[str] = []
    variants: dict[str, Variant]

    @model_validator(mode="after")
    def _fits_together(self) -> "Table":
        base = self.variants.get(self.baseline)
        if base is None or base.overrides is None:
            raise ValueError(f"baseline: {self.baseline!r} is none of the variants that can be run")
        if self.aa_seeds and len(self.aa_seeds) != len(self.seeds):
            raise ValueError(f"aa_seeds: {len(self.aa_seeds)} for {len(self.seeds)} seeds; give as many, or none")
        if len({*self.seeds, *self.aa_seeds}) < len(self.seeds) + len(self.aa_seeds):
            raise ValueError("seeds, aa_seeds: a seed stands there twice")
        for name, variant in self.variants.items():
            partner = self.variants.get(variant.against or self.baseline)
            if partner is None or partner.overrides is None:
                raise ValueError(f"variants.{name}.against: {variant.against!r} is no row that others can compare with")
        for where, rates in (
            ("rates", self.rates),
            *((f"variants.{n}.rates", v.rates) for n, v in self.variants.items()),
        ):
            if wrong := [key for key, values in rates.items() if not values or len(set(values)) < len(values)]:
                raise ValueError(f"{where}.{wrong[0]}: has a value, and each once; it is {rates[wrong[0]]}")
        primary = self.variants.get(self.primary) if self.primary is not None else None
        if self.primary is not None and (primary is None or primary.paper.judged is None):
            raise ValueError(f"primary: {self.primary!r} is no row with a claimed speed-up or BD-rate")
        if any(len(rates) > 1 for rates in (self.rates, *(variant.rates for variant in self.variants.values()))):
            raise ValueError("rates: one key makes the rates, e.g. criterion.lmbda")
        self._fits_at_scales()
        return self

    def _fits_at_scales(self) -> None:
        """Raises ValueError where at some scale the row that others are compared with is not run."""
        for scale in self.scales:
            for name, variant in self.variants.items():
                partner = self.variants[self.partner(name)]
                if variant.at(scale).overrides is not None and partner.at(scale).overrides is None:
                    raise ValueError(
                        f"variants.{name}: is compared with {self.partner(name)}, which scale={scale} does not run"
                    )

    @property
    def scales(self) -> list[str]:
        """The scales at which some row is another."""
        return sorted({scale for variant in self.variants.values() for scale in variant.at_scale})

    def at(self, scale: str | None) -> "Table":
        """The table as it is at a scale, whose rows say nothing of scales."""
        return self.model_copy(update={"variants": {name: row.at(scale) for name, row in self.variants.items()}})

    def partner(self, name: str) -> str:
        """The row that a row is compared with; itself where it is a baseline."""
        return self.variants[name].against or self.baseline

    def root(self, name: str) -> str:
        """The row that comparisons beginning at a row end at: the table's baseline, or another that is one."""
        passed: list[str] = []
        while name != self.baseline and name not in passed:
            passed.append(name)
            name = self.partner(name)
        return name

    def rates_of(self, name: str) -> dict[str, list[float | int | str]]:
        """A row's own rates, or else the table's."""
        return self.variants[name].rates or self.rates

    def points(self, name: str) -> list[RateChoice]:
        """A row's rates as overrides, [{key: value}, ...]; [{}] where one training serves all."""
        return [{key: value} for key, values in self.rates_of(name).items() for value in values] or [{}]

    def cells(self) -> Iterator["TableCell"]:
        """Every training of the table, the baseline's A/A ones right after its own."""
        for name, variant in self.variants.items():
            if variant.overrides is not None:
                again = self.aa_seeds if name == self.baseline else []
                yield from (TableCell(name, seed, rate) for seed in [*self.seeds, *again] for rate in self.points(name))


@dataclass(frozen=True)
class TableCell:
    """One training of a table."""

    variant: str
    seed: int
    rate: RateChoice


def read_table(path: Path) -> Table | None:
    """The table of an experiment's file; None where it holds none. Raises TableError."""
    words = "holds no keys with values"
    try:
        content = read_yaml(path)
    except RecordError as error:
        content, words = "", f"cannot be read: {error.reason}"
    if not isinstance(content, dict):
        raise TableError(f"{path} {no_text(path.read_bytes()[:HEAD_BYTES]) or words}")
    return parse_table(content["table"], str(path)) if "table" in content else None


def parse_table(node: Any, where: str) -> Table:
    """The table of a node of plain containers. Raises TableError with everything that is wrong in it."""
    try:
        return Table.model_validate(node)
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}".lstrip(": ") for fault in error.errors())
        raise TableError(f"{where}: table: {'; '.join(faults)}") from error


def experiments() -> Path:
    """The folder of experiments: inside the installed package, or beside it in a checkout."""
    return conf_folder() / "experiment"


def of_experiment(name: str, known: Mapping[str, T]) -> Mapping[str, T]:
    """Of an experiment's whole name, the sweeps that are of it, and not of another one that begins so; else all.

    known: {name of a sweep: anything}.
    """
    if name in known or name not in {path.stem for path in experiments().glob("*.yaml")}:
        return known
    return {sweep: one for sweep, one in known.items() if sweep.rpartition("-")[0].removesuffix("-search") == name}
