"""An ablation as people read it: cells and notes."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from analysis.ablation import Ablation
from analysis.comparable import code_flags, elsewhere_flags
from analysis.coverage import coverage_notes, spread_notes
from analysis.grid import Grid
from analysis.image_sets import image_notes
from analysis.reach import reach_notes
from analysis.rows import ABSENT, AGAIN, BASELINE, Estimate, Row
from analysis.runs import Runs
from analysis.speedup import SpeedUp
from analysis.statistics import Interval
from analysis.undecayed import PLACE
from lic_exp.ablation_spec import Table

if TYPE_CHECKING:
    from collections.abc import Callable

UNKNOWN = "no number"
"""For finished runs from which none follows; a note says why."""

UNITS = {"bd_rate": "BD-rate", "rd_change": "R + lmbda D", "speed_up": "steps"}


def grid(table: Ablation) -> Grid:
    """The table itself. Columns that no row has anything for are left out."""
    study = table.study
    paper = f"paper ({study.table.paper})"
    differ = len({row.kmacs for row in table.rows if row.kmacs}) > 1
    macs_differ = any(_speed(row, "macs") not in ("", _speed(row, "steps")) for row in table.rows)
    others = list(dict.fromkeys(name for row in table.rows for name in row.paper.others))
    columns: dict[str, Callable[[Row], str]] = {
        "": lambda row: f"{row.label} (against {row.against})" if row.against else row.label,
        "parameters, M": lambda row: f"{row.parameters:.2f}" if row.parameters and differ else "",
        "KMACs/pixel": lambda row: f"{row.kmacs:.2f}" if row.kmacs and differ else "",
        "speed-up, steps": lambda row: _cell(row, _speed(row, "steps"), "1.00x"),
        "speed-up, seconds": lambda row: _cell(row, _speed(row, "seconds"), "1.00x"),
        "speed-up, MACs": lambda row: _cell(row, _speed(row, "macs"), "1.00x") if macs_differ else "",
        "the same to the final level, steps": lambda row: _cell(row, _ratio(row.at_end, "steps"), "1.00x", shown=True),
        "BD-rate %": lambda row: _cell(row, _percent(row.bd_rate), "0", shown=row.longer > 1),
        "R + lmbda D %": lambda row: _cell(row, _percent(row.rd_change), "0", shown=row.longer > 1),
        **{f"BD-rate % against {name}": _against(name) for name in study.table.anchors},
        "speed-up: verdict": lambda row: table.verdicts.get(row.name, {}).get("speed_up", ""),
        "BD-rate: verdict": lambda row: table.verdicts.get(row.name, {}).get("bd_rate", ""),
        f"{paper}: speed-up": lambda row: _claim(row, row.paper.speed_up, "{:.2f}x", "1.00x"),
        f"{paper}: BD-rate %": lambda row: _claim(row, row.paper.bd_rate, "{:+.2f}", "0") or row.paper.note,
        **{f"{paper}: {name}": _other(name) for name in others},
    }
    cells = {title: [of(row) for row in table.rows] for title, of in columns.items()}
    always = ("", "speed-up, steps", "BD-rate %")
    kept = {title: column for title, column in cells.items() if title in always or any(column)}
    scale = f", scale={study.scale}" if study.scale else ""
    rows = tuple(zip(*kept.values(), strict=True))
    return Grid(f"{study.table.title}{scale}", tuple(kept), rows, tuple(_notes(table)))


def bits_grid(table: Ablation) -> Grid | None:
    """Which share of the bits each latent has, coarse to fine; None where no codec has several latents."""
    latents = list(dict.fromkeys(name for row in table.rows for name in row.bits))
    if not latents:
        return None
    rows = [(row.label, *(_share(row.bits.get(name)) for name in latents)) for row in table.rows if row.bits]
    return Grid("estimated bits by latent, % (last validation)", ("", *latents), tuple(rows))


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"


def _cell(row: Row, number: str, reference: str, *, shown: bool = False) -> str:
    """A measured number and how complete it is: blank, `3/5 seeds`, `diverged at step n (k/3)`.

    shown: leave the cell blank where there is no number, which another cell of the row tells.
    """
    if row.role == ABSENT or not row.launched or (shown and not number and row.role != BASELINE):
        return ""
    if row.role == BASELINE:
        number = reference if row.complete else ""
    parts = []
    if row.diverged:
        steps = sorted(set(row.diverged.values()))
        at = f"step {steps[0]}" if len(steps) == 1 else f"steps {steps[0]} to {steps[-1]}"
        parts.append(f"diverged at {at} ({len(row.diverged)}/{row.seeds})")
    if row.complete:
        whole = len(row.complete) == row.seeds
        parts.append((number or UNKNOWN) + ("" if whole else f" ({_seeds(row)})"))
    elif not parts:
        parts.append(_seeds(row))
    return "; ".join(parts)


def _seeds(row: Row) -> str:
    return f"{len(row.complete)}/{row.seeds} seeds"


def _other(name: str) -> "Callable[[Row], str]":
    return lambda row: str(row.paper.others.get(name, ""))


def _against(anchor: str) -> "Callable[[Row], str]":
    def cell(row: Row) -> str:
        text = _percent(row.anchors.get(anchor))
        return _cell(row, text, text)

    return cell


def _percent(estimate: Estimate | None) -> str:
    return "" if estimate is None else f"{estimate.mean:+.2f}{_interval(estimate.interval, '{:+.2f}')}"


def _speed(row: Row, unit: str) -> str:
    """1.84x [1.70, 2.01]; < 0.93x where no seed got there, > 2.10x where every one was there at once."""
    found = row.speed.estimate(unit) if row.speed else None
    if found is None:
        return ""
    low, high = (math.exp(min(end, 700)) for end in found.interval)
    if found.mean == -math.inf:
        return f"< {high:.2f}x" if math.isfinite(found.interval.high) else "never"
    if found.mean == math.inf:
        return f"> {low:.2f}x" if math.isfinite(found.interval.low) else "at once"
    known = math.isfinite(found.interval.low) and math.isfinite(found.interval.high)
    return f"{math.exp(found.mean):.2f}x" + (f" [{low:.2f}, {high:.2f}]" if known else "")


def _ratio(found: SpeedUp | None, unit: str) -> str:
    if found is None:
        return ""
    ratio = found.ratios[unit]
    if ratio.value is None or ratio.interval is None:
        return str(ratio)
    return f"{ratio.value:.2f}x{_interval(ratio.interval, '{:.2f}')}"


def _interval(interval: Interval, form: str) -> str:
    """Nothing where one seed leaves it unknown."""
    known = math.isfinite(interval.low) and math.isfinite(interval.high) and interval.low > -1e9
    return f" [{form.format(interval.low)}, {form.format(interval.high)}]" if known else ""


def _claim(row: Row, value: float | str | None, form: str, reference: str) -> str:
    if row.role == BASELINE:
        return reference
    if row.role == AGAIN or value is None:
        return ""
    return value if isinstance(value, str) else form.format(value)


def _notes(table: Ablation) -> Iterator[str]:
    study = table.study
    if study.runs is None:
        yield f"nothing measured yet: python launch.py -m experiment={study.experiment} scale=mini"
    else:
        yield from _measured(study.runs)
        chosen = " ".join(study.overrides)
        yield f"study {study.study[:8]}{f', launched with {chosen}' if chosen else ''}"
        level = f"mean of its last {table.k} evaluations" if table.k > 1 else "its last evaluation"
        spread, *apart = spread_notes(table.rows)
        yield (
            f"mean and 95 % interval by Student t, each against its baseline of the same seed, {spread}; "
            "BD-rate: PCHIP on real bitstreams; R + lmbda D: mean over images of rate and MSE"
        )
        yield from apart
        yield from coverage_notes(table.rows)
        yield (
            f"speed-up: to the baseline's smoothed val/rd_loss at {PLACE:g} of its training before the learning rate "
            "falls; a run that is not there before its own falls is a bound. The final level "
            f"({level}) lies after the fall, where a slow run gets there too: it is shown, not judged"
        )
        if table.verdicts:
            yield (
                f'verdicts: {_primary(study.table)}of the other claims "there is no effect" is rejected at 5 % '
                "together (Holm); whether an interval leaves the claimed effect out (contradicted, smaller than "
                "claimed) is judged row by row"
            )
    if effects := [f"{UNITS[name]} {value:.3g} %" for name, value in table.resolvable.items() if math.isfinite(value)]:
        yield (
            f"{len(study.table.seeds)} seeds show effects of {', '.join(effects)} or more with 80 % probability, on "
            "these images"
        )
    elif study.runs is not None:
        yield "no effect can be resolved: that takes two finished seeds or more"
    yield from study.table.notes
    for row in table.rows:
        yield from (f"{row.label}: {note}" for note in row.notes)
    yield from reach_notes(study)
    if study.others:
        yield f"other studies of this table here: {'; '.join(study.others)}"


def _primary(table: Table) -> str:
    """The contrast that the table is made for, in words."""
    if table.primary is None:
        return ""
    which = {"speed_up": "speed-up", "bd_rate": "BD-rate", None: ""}[table.variants[table.primary].paper.judged]
    return f"the {which} of {table.primary} is the primary contrast; "


def _measured(runs: Runs) -> Iterator[str]:
    """On what the measured columns rest: models, data, length, code."""
    facts = runs.runs

    def said(column: str) -> str:
        values = facts[column].dropna().tolist() if column in facts else []
        return " or ".join(dict.fromkeys(map(str, values))) or "?"

    rows = runs.evaluation[runs.evaluation["set"] == ""] if len(runs.evaluation) else runs.evaluation
    count = f"evaluated on {rows['image'].nunique()} images" if len(rows) else "not evaluated"
    steps = " or ".join(f"{step:.0f}" for step in dict.fromkeys(facts["step"][facts["state"] == "done"].dropna()))
    code = " or ".join(dict.fromkeys(str(commit)[:7] for commit in facts["git_commit"].dropna()))
    yield f"measured here: {said('model')} on {said('data')}, {steps or '?'} steps, {count}, code {code or 'unknown'}"
    yield from image_notes(runs)
    yield from code_flags(runs)
    yield from elsewhere_flags(runs)
