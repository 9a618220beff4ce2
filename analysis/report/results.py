"""The parts of a report that hold numbers: what came out, in tables, and every run behind it."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from analysis.ablation_text import bits_grid, grid
from analysis.arms import Arm
from analysis.bd_comparison import BDComparison, compare_curves
from analysis.bd_report import over_seeds
from analysis.comparable import code_flags, elsewhere_flags
from analysis.curve_files import Curve
from analysis.curve_metrics import label_of
from analysis.errors import CurveError
from analysis.image_points import distinct_sets
from analysis.image_sets import image_notes
from analysis.losses import rate_of, rates_of
from analysis.made_by import flags
from analysis.named_runs import NamedRun
from analysis.report.parts import Linked, PageTable, Part, of_grid, plain
from analysis.report.subject import Subject
from analysis.statistics import t_interval
from lic_exp.labels import SEED, label

MEASURES = {"bpp": ("bpp", "{:.4f}"), "psnr": ("PSNR dB", "{:.3f}"), "ms_ssim_db": ("MS-SSIM dB", "{:.3f}")}
"""Columns of means over images that are shown, where they are there."""


def results(subject: Subject) -> Part:
    """The table where there is one, BD-rates of arms, and rate and quality by arm and rate."""
    tables = []
    lines = []
    if subject.table is not None:
        shown = grid(subject.table)
        tables.append(of_grid(shown, [subject.of_row(row.name) for row in subject.table.rows]))
        if (bits := bits_grid(subject.table)) is not None:
            of = {row.label: subject.of_row(row.name) for row in subject.table.rows}
            tables.append(of_grid(bits, [of.get(cells[0], "") for cells in bits.rows]))
    else:
        lines = [*code_flags(subject.runs), *elsewhere_flags(subject.runs), *image_notes(subject.runs)]
    tables += bd_tables(subject)
    tables.append(by_rate(subject))
    if subject.why_none:
        lines.append(f"no curves: {subject.why_none}")
    return Part("Results", tuple(lines), tuple(tables))


def bd_tables(subject: Subject) -> list[PageTable]:
    """Of arms against the first, and of all against each curve beside them; none where there is nothing to compare."""
    found = []
    told: dict[str, None] = {}
    if len(subject.curves) > 1 and subject.table is None and any(len(curve) > 1 for curve in subject.curves):
        found.append(_bd_table(subject, subject.curves[0], subject.curves[1:], told))
    if subject.curves:
        found += [_bd_table(subject, curve, subject.curves, told) for curve in subject.beside]
    return found


def _bd_table(subject: Subject, anchor: Curve, tests: Sequence[Curve], told: dict[str, None]) -> PageTable:
    """told: notes that stand in the page already; those of this table are added to them."""
    of = {arm.label: subject.address(arm) for arm in subject.arms}
    notes = [note for curve in (anchor, *tests) for one in curve.notes if (note := curve.said(one)) not in told]
    told.update(dict.fromkeys(notes))
    rows = []
    for test in tests:
        try:
            row = compare_curves(anchor, test, subject.metric)
        except CurveError as error:
            notes.append(f"{test.name}: {error}")
            continue
        rows.append(tuple(Linked(cell, of.get(test.name, "") if cell else "") for cell in _bd_cells(row)))
        notes += [f"{test.name}: {flag}" for flag in row.flags if flag not in told]
        notes += [f"{test.name}: {row.error}"] if row.error else []
        if row.rate is not None and (seeds := over_seeds(anchor, test, subject.metric, row.method)):
            notes.append(f"{test.name}: {seeds}")
    title = f"Against {anchor.name}: rate at equal {label_of(subject.metric)}; negative % is a saving"
    header = ("", "BD-rate %", "BD dB", "R + lmbda D %", "shared range", "points")
    once = list(dict.fromkeys(notes))
    return PageTable(title, header, tuple(rows), tuple(once))


def _bd_cells(row: BDComparison) -> Iterator[str]:
    yield row.test.name
    yield f"{row.rate:+.2f}" if row.rate is not None else "none"
    yield f"{row.quality:+.3f}" if row.quality is not None else ""
    yield f"{row.rd_change:+.2f}" if row.rd_change is not None else ""
    yield f"{row.rate.shared[0]:.2f} to {row.rate.shared[1]:.2f}" if row.rate is not None else ""
    yield f"{len(row.anchor)}/{len(row.test)}"


def by_rate(subject: Subject) -> PageTable:
    """Of each arm at each rate the means over its finished runs, with 95 % intervals over seeds."""
    every = [point for points in subject.points.values() for point in points]
    there = [key for key in MEASURES if any(not math.isnan(point.get(key, math.nan)) for point in every)]
    rows = []
    for arm in subject.arms:
        for rate in rates_of([arm]):
            cells = [cell for cell in arm.cells if rate_of(cell) == rate]
            rows += list(_rows_of_rate(subject, arm, rate, cells, there))
    header = ("runs", "rate", "done", *(MEASURES[key][0] for key in there), "val/rd_loss")
    several = any(len(arm.cells) > len(rates_of([arm])) for arm in subject.arms)
    notes = ["mean over runs, 95 % interval by Student t over them"] if several else []
    return PageTable("Rate, quality and loss", header, tuple(rows), (*notes, *_unlike_images(subject)))


def _rows_of_rate(
    subject: Subject, arm: Arm, rate: str, cells: Sequence[NamedRun], there: Sequence[str]
) -> Iterator[tuple[Linked, ...]]:
    done = [cell.signature for cell in cells if subject.rows.get(cell.signature, {}).get("state") == "done"]
    of = subject.address(arm, rate)
    losses = [subject.losses.get(name, math.nan) for name in done]
    alike = are_of_the_same_images(subject, done)
    count = f"{len(done)}/{len(cells)}"
    by_quality: dict[float | None, list[Mapping[Any, Any]]] = {}
    for name in done:
        for point in subject.points.get(name, []):
            by_quality.setdefault(_quality(point), []).append(point)
    in_order = sorted(by_quality.items(), key=lambda one: -math.inf if one[0] is None else one[0])
    for place, (quality, own) in enumerate(in_order or [(None, [])]):
        named = ", ".join(filter(None, [rate, "" if quality is None else f"quality {quality:g}"]))
        known = own if alike else []
        values = [_mean([point[key] for point in known if key in point], MEASURES[key][1]) for key in there]
        texts = [arm.label, named, count, *values, "" if place else _mean(losses, "{:.4f}")]
        yield tuple(Linked(text, of if number != 1 and text else "") for number, text in enumerate(texts))


def _quality(point: Mapping[Any, Any]) -> float | None:
    """Which rate of its codec a point is of; None of a codec of one rate."""
    rate = point.get("rate")
    return None if rate is None or math.isnan(rate) else float(rate)


def are_of_the_same_images(subject: Subject, signatures: Sequence[str]) -> bool:
    """Whether nothing that is known tells apart the images that these runs were evaluated on."""
    return len(distinct_sets(subject.images[name] for name in signatures if name in subject.images)) < 2


def _unlike_images(subject: Subject) -> Iterator[str]:
    """What is to be said where runs are compared, or have a mean, that were not evaluated on the same images."""
    done = [name for name, row in subject.rows.items() if row["state"] == "done"]
    if are_of_the_same_images(subject, done):
        return
    yield "other-data-set: not all of these runs were evaluated on the same images; What was evaluated on lists them"
    for arm in subject.arms:
        for rate in rates_of([arm]):
            own = [cell.signature for cell in arm.cells if rate_of(cell) == rate and cell.signature in done]
            if not are_of_the_same_images(subject, own):
                yield f"{' '.join(filter(None, [arm.label, rate]))}: its runs are of other images, and have no mean"


def _mean(values: Sequence[float], form: str) -> str:
    known = np.array([value for value in values if np.isfinite(value)])
    if not len(known):
        return ""
    text = form.format(known.mean())
    if len(known) < 2:
        return text
    low, high = t_interval(known)
    return f"{text} [{form.format(low)}, {form.format(high)}]"


def troubles(subject: Subject) -> Part:
    """Runs that have not ended well, or not begun, with what they say of it."""
    rows = []
    for arm in subject.arms:
        for cell in arm.cells:
            row = subject.rows.get(cell.signature)
            state = "not begun" if row is None else str(row["state"])
            if state != "done":
                reason = "" if row is None else str(row["reason"] or "")
                step = "" if row is None else _steps(row)
                of = f"run-{cell.signature}"
                rows.append((Linked(cell.label or cell.signature, of), *plain([state, step, reason])))
    table = PageTable("Runs that are not done", ("run", "state", "step", "what it says"), tuple(rows), is_long=True)
    notes = [f"{curve.name}: {flag}" for curve in subject.curves for flag in [*flags(curve.made_by), *curve.notes]]
    title = f"Failed, diverged, unfinished ({len(rows)})"
    return Part(title, tuple(dict.fromkeys(notes)), (table,) if rows else (), folded=True)


def all_runs(subject: Subject) -> Part:
    """Every run, by arm and rate: where it is, in what state, and what came of it."""
    rows, ids, ids_given = [], [], set[str]()
    header = ("run", "what differs", "seed", "state", "code", "step", "val/rd_loss", "bpp", "PSNR dB", "folder")
    for arm in subject.arms:
        first_of_arm = True
        for rate in rates_of([arm]):
            cells = [cell for cell in arm.cells if rate_of(cell) == rate]
            address = subject.address(arm, rate)
            for number, cell in enumerate(cells):
                if first_of_arm:
                    rows.append(plain([arm.label]))
                    ids.append(subject.address(arm))
                    first_of_arm = False
                if number == 0:
                    counted = f"{len(cells)} runs" if cells[1:] else "1 run"
                    rows.append(plain([f"{rate}: {counted}" if rate else counted]))
                    ids.append(address)
                rows.append(plain(list(_of_run(subject, cell))))
                own = f"run-{cell.signature}"
                ids.append("" if own in ids_given else own)  # of cells that are one training the first
                ids_given.add(own)
    table = PageTable("Every run behind the numbers", header, tuple(rows), is_long=True, ids=tuple(ids))
    return Part("Runs", tables=(table,))


def _of_run(subject: Subject, cell: NamedRun) -> Iterator[str]:
    row = subject.rows.get(cell.signature)
    points = subject.points.get(cell.signature, [])
    yield cell.signature
    yield cell.label or label({key: value for key, value in (cell.role or {}).items() if key != SEED})
    seed = (cell.role or {}).get(SEED, None if row is None else row["seed"])
    unread = isinstance(seed, float) and math.isnan(seed)
    yield "" if seed is None or unread else str(seed)
    yield "not begun" if row is None else str(row["state"])
    yield "" if row is None else str(row["code"])
    yield "" if row is None else _steps(row)
    loss = subject.losses.get(cell.signature, math.nan)
    yield "" if math.isnan(loss) else f"{loss:.4f}"
    for key in ("bpp", "psnr"):
        yield ", ".join(_number(point.get(key), MEASURES[key][1]) for point in points)
    yield str(cell.folder)


def _number(value: Any, form: str) -> str:
    return "" if value is None else form.format(value)


def _steps(row: Mapping[Any, Any]) -> str:
    step, most = (row.get(key) for key in ("step", "max_steps"))
    shown: Callable[[Any], str] = lambda value: "?" if value is None or math.isnan(value) else f"{value:.0f}"  # noqa: E731
    return f"{shown(step)}/{shown(most)}"
