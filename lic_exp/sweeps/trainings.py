"""The runs that a command line asks for: one, the product of its values, or those of an experiment's table or sweep."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lic_exp.ablation_spec import TableCell, TableError, parse_table
from lic_exp.config.composer import Composer
from lic_exp.config.errors import ConfigError, did_you_mean
from lic_exp.config.loading import everything_said
from lic_exp.config.only_some import OnlySome, without
from lic_exp.config.options import options
from lic_exp.config.overrides import Overrides, cells, is_sweep, parse, parse_each, parsed, quoted, values_of
from lic_exp.config.request import LaunchRequest, compose_request
from lic_exp.labels import SEED, VARIANT, label
from lic_exp.sweeps.ablation_study import AblationStudy
from lic_exp.sweeps.spec import Spec, parse_spec, points


@dataclass(frozen=True)
class Training:
    """One run that a command line asks for.

    role: the values that tell it from the others asked for. study, cell: its place in a table, if it is of one.
    after, group, first: as in `lic_exp.sweeps.spec.Point`. left_out: keys that the command line sets and this run has
    no option for, though another of the sweep's has.
    """

    overrides: Overrides
    role: Mapping[str, Any] = field(default_factory=dict)
    study: AblationStudy | None = None
    cell: TableCell | None = None
    after: int | None = None
    group: str | None = None
    first: bool = False
    left_out: tuple[str, ...] = ()

    def __str__(self) -> str:
        return label(self.role)


def trainings(
    given: Sequence[str],
    *,
    several: bool,
    request: LaunchRequest | None = None,
    composer: Composer | None = None,
) -> list[Training]:
    """The runs that the overrides `given` describe, in order. Raises ConfigError.

    several: whether more than one was asked for (`-m`). With it the name of a table or sweep alone stands for all its
    trainings; without it a table's variant must be named, and seed and rate are the table's first unless they are,
    and of a sweep the overrides must leave one cell.
    request: what `requested(given)` has found already. composer: what is to compose the same lines afterwards.
    """
    parse(given)
    check_experiments(given)
    experiment = _experiment(given)
    request = request or (requested(given) if experiment else None)
    if request and experiment and request.table is not None:
        if request.sweep is not None:
            raise ConfigError(
                [f"experiment={experiment}: has a table and a sweep, of which one says which runs there are"]
            )
        return _of_table(given, experiment, request.table, several, composer or Composer())
    if picked := values_of(given, VARIANT):
        raise ConfigError([f"variant={picked[0]}: only an experiment with a table has variants; name one, alone"])
    if request and experiment and request.sweep is not None:
        found = _of_sweep(given, parse_spec(request.sweep, f"experiment={experiment}"))
        if not several and len(found) > 1:
            raise ConfigError([f"experiment={experiment} is a sweep: run it with -m"])
    else:
        found = [Training(overrides, role) for overrides, role in cells(given, several=several)]
    return fitting(found, OnlySome([one.overrides for one in found], composer or Composer()))


def fitting(asked: Sequence[Training], some: OnlySome) -> list[Training]:
    """The trainings, each without the options that only others of its sweep have."""
    return [_without(one, list(some.left_out(one.overrides))) for one in asked]


def _without(training: Training, keys: Sequence[str]) -> Training:
    if not keys:
        return training
    role = {key: value for key, value in training.role.items() if key not in keys}
    return replace(training, overrides=without(training.overrides, keys), role=role, left_out=tuple(keys))


def requested(given: Sequence[str]) -> LaunchRequest:
    """What the overrides with one value say beside the config. Raises ConfigError."""
    return compose_request(parse([text for text in given if not is_sweep(text)]))


def check_experiments(given: Sequence[str]) -> None:
    """Raise ConfigError where several experiments are named, and one has a table or sweep, which is run alone."""
    named = values_of(given, "experiment")
    for name in named if len(named) > 1 else ():
        others = [text for text in given if not is_sweep(text) and parsed(text).key_or_group != "experiment"]
        request = requested([*others, f"experiment={quoted(name)}"])
        for kind, node in (("table", request.table), ("sweep", request.sweep)):
            if node is not None:
                raise ConfigError([f"experiment={name} has a {kind} of runs: name it alone, not one of {len(named)}"])


def _experiment(given: Sequence[str]) -> str | None:
    named = values_of(given, "experiment")
    return str(named[0]) if len(named) == 1 and named[0] is not None else None


def _of_table(
    given: Sequence[str], experiment: str, node: Mapping[str, Any], several: bool, composer: Composer
) -> list[Training]:
    try:
        table = parse_table(node, f"experiment={experiment}")
    except TableError as error:
        raise ConfigError([str(error)]) from error
    known = options("scale", parse(given).plugins)
    if unknown := [name for name in table.scales if name not in known]:
        hint = did_you_mean(unknown[0], known)
        raise ConfigError([f"experiment={experiment}: table: at_scale: {unknown[0]!r} is no scale.{hint}"])
    chosen = values_of(given, "scale")
    scale = str(chosen[-1]) if chosen else None
    study = AblationStudy(experiment, table.at(scale), tuple(given), scale)
    if swept := [text for text in study.shared if is_sweep(text)]:
        keys = ", ".join(study.keys)
        raise ConfigError(f"{text}: with a table only {keys} may have several values" for text in swept)
    chosen = study.chosen(several)
    return [
        Training(line, {VARIANT: cell.variant, SEED: cell.seed, **cell.rate}, study, cell, left_out=tuple(left_out))
        for cell, (line, left_out) in zip(chosen, study.lines(chosen, composer), strict=True)
    ]


def _of_sweep(given: Sequence[str], spec: Spec) -> list[Training]:
    """The cells of an experiment's `sweep`, under what the command line says."""
    chooses = [text for text in given if is_sweep(text) or parsed(text).key_or_group in spec.keys]
    shared = [text for text in given if text not in chooses]
    chosen = {key: values_of(chooses, key) for key in dict.fromkeys(parsed(text).key_or_group for text in chooses)}
    found = points(spec, chosen)
    lines = parse_each(
        [[*shared, *(f"{key}={quoted(value)}" for key, value in point.values.items())] for point in found]
    )
    return [
        Training(line, point.values, after=point.after, group=point.group, first=point.first)
        for line, point in zip(lines, found, strict=True)
    ]


def one_training(given: Sequence[str]) -> Training:
    """The one run that the overrides `given` describe. Raises ConfigError, with everything that is wrong at once."""
    with everything_said():
        if parse(list(given)).sweeping:
            raise ConfigError(["these overrides describe several runs; one is wanted here"])
        (training,) = trainings(list(given), several=False)
    return training
