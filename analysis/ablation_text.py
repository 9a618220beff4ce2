"""An ablation as people read it: cells, notes, files."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.ablation import ABSENT, AGAIN, BASELINE, Ablation, Estimate, Row
from analysis.grid import Grid
from analysis.out_places import make_folder
from analysis.runs import Runs
from analysis.speedup import SpeedUp
from analysis.statistics import Interval
from lic_exp.csv_text import frame_text
from lic_exp.tracking import names

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
    others = list(dict.fromkeys(name for row in table.rows for name in row.paper.others))
    columns: dict[str, Callable[[Row], str]] = {
        "": lambda row: row.label,
        "parameters, M": lambda row: f"{row.parameters:.2f}" if row.parameters and differ else "",
        "KMACs/pixel": lambda row: f"{row.kmacs:.2f}" if row.kmacs and differ else "",
        "speed-up, steps": lambda row: _cell(row, _ratio(row.speed_up, "steps"), "1.00x"),
        "the same before the decay": lambda row: _cell(row, _ratio(row.before_decay, "steps"), "1.00x"),
        "speed-up, seconds": lambda row: _cell(row, _ratio(row.speed_up, "seconds"), "1.00x"),
        "BD-rate %": lambda row: _cell(row, _percent(row.bd_rate), "0"),
        "R + lmbda D %": lambda row: _cell(row, _percent(row.rd_change), "0"),
        **{f"BD-rate % against {name}": _against(name) for name in study.table.anchors},
        "speed-up: verdict": lambda row: row.claims()["speed_up"] or "",
        "BD-rate: verdict": lambda row: row.claims()["bd_rate"] or "",
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


def _cell(row: Row, number: str, reference: str) -> str:
    """A measured number and how complete it is: blank, `3/5 seeds`, `diverged at step n (k/3)`."""
    if row.role == ABSENT or not row.launched:
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


def _claim(row: Row, value: float | None, form: str, reference: str) -> str:
    if row.role == BASELINE:
        return reference
    return "" if row.role == AGAIN or value is None else form.format(value)


def _notes(table: Ablation) -> Iterator[str]:
    study = table.study
    if study.runs is None:
        yield f"nothing measured yet: python launch.py -m experiment={study.experiment} scale=mini"
    else:
        yield from _measured(study.runs)
        chosen = " ".join(study.overrides)
        yield f"study {study.study[:8]}{f', launched with {chosen}' if chosen else ''}"
        level = f"mean of its last {table.k} evaluations" if table.k > 1 else "its last evaluation"
        yield (
            "mean and 95 % t interval over seeds, each against the baseline of the same seed; speed-up: until the "
            f"baseline's level ({level}, val/rd_loss) is held; BD-rate: PCHIP on real bitstreams"
        )
    if effects := [f"{UNITS[name]} {value:.3g} %" for name, value in table.resolvable.items() if math.isfinite(value)]:
        yield f"{len(study.table.seeds)} seeds show effects of {', '.join(effects)} or more with 80 % probability"
    elif study.runs is not None:
        yield "no effect can be resolved: that takes two finished seeds or more"
    yield from study.table.notes
    for row in table.rows:
        yield from (f"{row.label}: {note}" for note in row.notes)
    if study.others:
        yield f"other studies of this table here: {'; '.join(study.others)}"


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
    if facts["stale"].any():
        yield f"{int(facts['stale'].sum())} runs are stale: made by other code than asked for"


def numbers(table: Ablation) -> pd.DataFrame:
    """One row per row of the table with every number apart, for the CSV file."""
    return pd.DataFrame([_numbers(table, row) for row in table.rows])


def _numbers(table: Ablation, row: Row) -> dict[str, Any]:
    found: dict[str, Any] = {
        "variant": row.name,
        "label": row.label,
        "role": row.role,
        "seeds": row.seeds,
        "seeds_complete": len(row.complete),
        "diverged": len(row.diverged),
        "diverged_first_step": min(row.diverged.values(), default=None),
    }
    for name, speed in (("speed_up", row.speed_up), ("speed_up_before_decay", row.before_decay)):
        for unit in ("steps", "seconds"):
            ratio = speed.ratios[unit] if speed else None
            found |= _with_interval(f"{name}_{unit}", ratio.value if ratio else None, ratio.interval if ratio else None)
    estimates: Mapping[str, Estimate | None] = {
        "bd_rate_percent": row.bd_rate,
        "rd_change_percent": row.rd_change,
        **{f"bd_rate_percent_against_{name}": row.anchors.get(name) for name in table.study.table.anchors},
    }
    for name, value in estimates.items():
        found |= _with_interval(name, value.mean if value else None, value.interval if value else None)
    found |= {"parameters_m": row.parameters, "kmacs_per_pixel": row.kmacs}
    verdicts = {f"verdict_{name}": text for name, text in row.claims().items()}
    paper = {"paper_speed_up": row.paper.speed_up, "paper_bd_rate_percent": row.paper.bd_rate}
    runs = {"signatures": " ".join(_signatures(table, row))}
    return found | verdicts | paper | {"paper_note": row.paper.note} | runs


def _with_interval(name: str, value: float | None, interval: Interval | None) -> dict[str, float | None]:
    low, high = interval or (math.inf, math.inf)
    known = math.isfinite(low) and math.isfinite(high)
    return {name: value, f"{name}_low": low if known else None, f"{name}_high": high if known else None}


def _signatures(table: Ablation, row: Row) -> Iterator[str]:
    for variant, seeds in _members(table, row):
        for seed in seeds:
            yield from table.study.of(variant, seed)


def _members(table: Ablation, row: Row) -> list[tuple[str, list[int]]]:
    again = row.role == AGAIN
    return [
        (
            table.study.table.baseline if again else row.name,
            (table.study.table.aa_seeds if again else table.study.table.seeds),
        )
    ]


def trace(table: Ablation) -> Grid:
    """Every training of the table: where it is and what it found."""
    study = table.study
    rows = []
    last = {} if study.runs is None else study.runs.final([names.VAL_RD_LOSS])[names.VAL_RD_LOSS].to_dict()
    known = study.runs.runs.set_index("signature").to_dict("index") if study.runs is not None else {}
    for row in table.rows:
        for variant, seeds in _members(table, row):
            for seed in seeds:
                for name in study.of(variant, seed):
                    run = known.get(name)
                    rate = ", ".join(f"{key}={value}" for key, value in study.rate_of(name).items())
                    state = ("missing", "", "", "") if run is None else _found(run, last[name])
                    rows.append((row.label, str(seed), rate, name, *state))
    header = ("row", "seed", "rate", "run", "state", "step", "val/rd_loss", "folder")
    return Grid("where the numbers come from", header, tuple(rows))


def _found(run: Mapping[Any, Any], rd_loss: float) -> tuple[str, str, str, str]:
    state = f"{run['state']}: {run['reason']}" if run["reason"] else str(run["state"])
    step = "" if math.isnan(run["step"]) else f"{run['step']:.0f}"
    return state, step, "" if math.isnan(rd_loss) else f"{rd_loss:.4f}", str(run["folder"])


def write(table: Ablation, folder: Path) -> list[Path]:
    """Write NAME.md, .tex, .html (as shown) and .csv (every number apart) into `folder`; returns the paths."""
    study = table.study
    name = f"{study.experiment}-{study.scale}" if study.scale else study.experiment
    shown = grid(table)
    texts = {"md": shown.markdown(), "tex": shown.latex(), "html": shown.html()}
    texts["csv"] = frame_text(numbers(table), "%.6g")
    make_folder(folder)
    paths = []
    for ending, text in texts.items():
        path = folder / f"{name}.{ending}"
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths
