"""BD-rates against an anchor, as tables for people, with what to know of each number."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
from rich.table import Table

from analysis.arguments import console
from analysis.bd import Method, bd_rate
from analysis.bd_comparison import BDComparison
from analysis.curve_files import Curve
from analysis.errors import CurveError
from analysis.image_interval import OverImages, bd_rate_over_images, curve_by_image
from analysis.statistics import Interval, t_interval
from lic_exp.console import styled


class OverSeeds(NamedTuple):
    """BD-rates [%] seed by seed, {seed: value}; left: seeds that have none."""

    values: dict[int, float]
    left: tuple[int, ...]

    @property
    def mean(self) -> float | None:
        """None of fewer than two."""
        return float(np.mean(list(self.values.values()))) if len(self.values) > 1 else None

    @property
    def interval(self) -> Interval | None:
        """At 95 %, by Student t over seeds alone; None of fewer than two."""
        return t_interval(np.array(list(self.values.values()))) if len(self.values) > 1 else None

    def __str__(self) -> str:
        out = f"; no BD-rate of seed {', '.join(map(str, self.left))}" if self.left else ""
        if self.interval is None:
            return f"no interval over seeds{out}"
        low, high = self.interval
        single = ", ".join(f"{seed}: {value:+.2f}" for seed, value in self.values.items())
        return (
            f"BD-rate over {len(self.values)} seeds {self.mean:+.2f} [{low:+.2f}, {high:+.2f}] at 95 % (Student t over "
            f"seeds alone, not over images); by seed {single}{out}"
        )


BDInterval = OverSeeds | OverImages | None


def print_comparisons(
    rows: Sequence[BDComparison], found: Sequence[BDInterval] | None = None, *, told: Collection[str] = ()
) -> None:
    """Print the table of comparisons with one anchor, their flags and intervals.

    found: what `intervals` has found of them. told: flags that have been printed already, and are named in the table
    alone.
    """
    _print_table(rows, told)
    for row, interval in zip(rows, intervals(rows) if found is None else found, strict=True):
        if interval is not None:
            console(150).print(f"{row.test.name}: {interval}", soft_wrap=True, markup=False, highlight=False)


def interval_row(interval: BDInterval) -> dict[str, Any]:
    """An interval as columns of a table: over what, of how many, mean where it is over seeds, low and high [%]."""
    low, high = (None, None) if interval is None or interval.interval is None else interval.interval
    seeds = isinstance(interval, OverSeeds)
    over = None if interval is None else "seeds" if seeds else "images"
    return {
        "interval_over": over,
        "interval_of": len(interval.values) if isinstance(interval, OverSeeds) else interval and interval.images,
        "interval_mean_percent": interval.mean if isinstance(interval, OverSeeds) else None,
        "interval_low_percent": low,
        "interval_high_percent": high,
    }


def _print_table(rows: Sequence[BDComparison], told: Collection[str]) -> None:
    first = rows[0]
    others = [name for name in ("pchip", "akima", "cubic") if name != first.method]
    table = Table(title=styled(f"against {first.anchor.name}, {first.metric}; negative % is a saving"))
    table.add_column("test", overflow="fold")
    # No column may be cut to make room: a shortened number reads like another number.
    for title in (f"BD-rate % {first.method}", *others, "BD dB", "R+lmbda D %", "overlap", "range", "points"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("flags")
    for row in rows:
        table.add_row(styled(row.test.name), *_cells(row, others))
    out = console(150)
    out.print(table)
    for row in rows:
        for flag in (flag for flag in row.flags if _needs_telling(flag) and flag not in told):
            out.print(f"{row.test.name}: {flag}", soft_wrap=True, markup=False, highlight=False)


def intervals(rows: Sequence[BDComparison]) -> list[BDInterval]:
    """Of each comparison with one anchor: over seeds where there are several; of single trainings that were evaluated
    on the same images over these.
    """
    anchor = rows[0].anchor
    measured = [row for row in rows if row.rate is not None]
    by_image = curve_by_image(anchor) if any(row.metric == "psnr" for row in measured) else None
    found: list[BDInterval] = []
    for row in rows:
        interval: BDInterval = None
        if row.rate is not None:
            interval = over_seeds(anchor, row.test, row.metric, row.method)
            if interval is None and by_image is not None:
                interval = bd_rate_over_images(by_image, curve_by_image(row.test), row.method)
        found.append(interval)
    return found


def over_seeds(anchor: Curve, test: Curve, metric: str, method: Method) -> OverSeeds | None:
    """The BD-rates seed by seed, each against the anchor's same seed where it has several; None of one seed.

    A seed that lacks a rate of its arm has none: it would be of another part of the curve than the others'.
    """
    anchors, tests = anchor.by_seed, test.by_seed
    if not tests:
        return None
    pairs = {seed: (anchors.get(seed) if anchors else anchor, curve) for seed, curve in tests.items()}
    values, left = dict[int, float](), list[int]()
    for seed, (base, curve) in pairs.items():
        try:
            if base is None:
                raise CurveError("the anchor has no such seed")
            if len(curve) < len(test) or (anchors and len(base) < len(anchor)):
                raise CurveError("it lacks a rate")
            values[seed] = float(bd_rate(base.bpp, base.quality(metric), curve.bpp, curve.quality(metric), method))
        except CurveError:
            left.append(seed)
    return OverSeeds(values, tuple(left))


def _needs_telling(flag: str) -> bool:
    """Whether a flag says more than the column `points` does."""
    return not flag.startswith("unequal-points:")


def _cells(row: BDComparison, others: list[str]) -> list[str]:
    points = f"{len(row.anchor)}/{len(row.test)}"
    flags = ", ".join(dict.fromkeys(flag.split(":")[0] for flag in row.flags if _needs_telling(flag)))
    rate = row.rate
    quality = "" if row.quality is None else f"{row.quality:+.3f}"
    change = "" if row.rd_change is None else f"{row.rd_change:+.2f}"
    if rate is None:
        return ["none", *[""] * len(others), quality, change, "", "", points, ", ".join(filter(None, ["error", flags]))]
    methods = [f"{rate.methods[name]:+.2f}" if name in rate.methods else "" for name in others]
    shared = f"{rate.shared[0]:.2f} to {rate.shared[1]:.2f}"
    return [f"{rate:+.2f}", *methods, quality, change, f"{rate.overlap:.2f}", shared, points, flags]
