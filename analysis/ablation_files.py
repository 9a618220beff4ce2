"""An ablation's files: the table in four formats, every number apart, and every run behind them."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.ablation import Ablation
from analysis.ablation_text import grid
from analysis.censored import LogEstimate
from analysis.grid import Grid
from analysis.out_places import write_out
from analysis.rows import AGAIN, Estimate, Row
from analysis.statistics import Interval
from lic_exp.csv_text import frame_text
from lic_exp.tracking import names


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
    for unit in ("steps", "seconds", "macs"):
        estimate = row.speed.estimate(unit) if row.speed else None
        found |= _of_logarithms(f"speed_up_{unit}", estimate)
        ratio = row.at_end.ratios[unit] if row.at_end else None
        found |= _with_interval(
            f"speed_up_at_end_{unit}", ratio.value if ratio else None, ratio.interval if ratio else None
        )
    found["speed_up_censored"] = estimate.censored if row.speed and (estimate := row.speed.estimate("steps")) else None
    estimates: Mapping[str, Estimate | None] = {
        "bd_rate_percent": row.bd_rate,
        "rd_change_percent": row.rd_change,
        **{f"bd_rate_percent_against_{name}": row.anchors.get(name) for name in table.study.table.anchors},
    }
    for name, value in estimates.items():
        found |= _with_interval(name, value.mean if value else None, value.interval if value else None)
        found[f"{name}_covers"] = value.covers if value else None
    found |= {"parameters_m": row.parameters, "kmacs_per_pixel": row.kmacs}
    said = table.verdicts.get(row.name, {})
    verdicts = {f"verdict_{name}": said.get(name) for name in ("speed_up", "bd_rate")}
    paper = {"paper_speed_up": row.paper.speed_up, "paper_bd_rate_percent": row.paper.bd_rate}
    runs = {"signatures": " ".join(_signatures(table, row))}
    return found | verdicts | paper | {"paper_note": row.paper.note} | runs


def _with_interval(name: str, value: float | None, interval: Interval | None) -> dict[str, float | None]:
    low, high = interval or (math.inf, math.inf)
    known = math.isfinite(low) and math.isfinite(high)
    return {name: value, f"{name}_low": low if known else None, f"{name}_high": high if known else None}


def _of_logarithms(name: str, found: LogEstimate | None) -> dict[str, float | None]:
    """Each end by itself: of a bound only one is known."""
    ends = (found.mean, *found.interval) if found else (math.inf, math.inf, math.inf)
    value, low, high = (math.exp(end) if math.isfinite(end) else None for end in ends)
    return {name: value, f"{name}_low": low, f"{name}_high": high}


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
                    state = ("missing", "", "", "", "") if run is None else _found(run, last[name])
                    rows.append((row.label, str(seed), rate, name, *state))
    header = ("row", "seed", "rate", "run", "state", "code", "step", "val/rd_loss", "folder")
    return Grid("where the numbers come from", header, tuple(rows))


def _found(run: Mapping[Any, Any], rd_loss: float) -> tuple[str, str, str, str, str]:
    state = f"{run['state']}: {run['reason']}" if run["reason"] else str(run["state"])
    step = "" if math.isnan(run["step"]) else f"{run['step']:.0f}"
    return state, str(run["code"]), step, "" if math.isnan(rd_loss) else f"{rd_loss:.4f}", str(run["folder"])


def write(table: Ablation, folder: Path) -> list[Path]:
    """Write NAME.md, .tex, .html (as shown) and .csv (every number apart) into `folder`; returns the paths."""
    study = table.study
    name = f"{study.experiment}-{study.scale}" if study.scale else study.experiment
    shown = grid(table)
    texts = {"md": shown.markdown(), "tex": shown.latex(), "html": shown.html()}
    texts["csv"] = frame_text(numbers(table), "%.6g")
    paths = []
    for ending, text in texts.items():
        path = folder / f"{name}.{ending}"
        write_out(path, text)
        paths.append(path)
    return paths
