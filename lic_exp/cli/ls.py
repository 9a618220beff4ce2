"""`ls`: a table of runs."""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from rich.console import Console
from rich.table import Table

from lic_exp import exit_codes
from lic_exp.cli.arguments import add_runs
from lic_exp.config.errors import ConfigError, did_you_mean
from lic_exp.console import console_for, styled
from lic_exp.labels import label_width
from lic_exp.runs.listing import RunSummary, summaries
from lic_exp.runs.run import SHOWN_STATES
from lic_exp.runs.staleness import ANEW, MEANINGS
from lic_exp.text import age_text, shortened, size_text, visible
from lic_exp.tracking.names import VAL_RD_LOSS
from lic_exp.tracking.sweep_labels import labels_of_runs

SUMMARY = "list runs: state, progress, best val/rd_loss, size"
DESCRIPTION = "List runs, latest started last."

WIDE = 150
"""Columns of a terminal that has room for long names and whole signatures."""

STYLES = {"running": "cyan", "done": "green", "preempted": "yellow", "created": "dim"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_runs(parser)
    parser.add_argument(
        "--state", metavar="STATE[,...]", help=f"only runs in these states: {', '.join(SHOWN_STATES)} (docs/states.md)"
    )


def run(options: argparse.Namespace) -> int:
    wanted = _states(options.state)
    runs = summaries(options.runs)
    chosen = [run for run in runs if run.state in wanted]
    console = console_for(sys.stdout)
    if chosen:
        print_table(chosen, console, labels_of_runs(options.runs))
    total = size_text(sum(run.bytes for run in chosen))
    of = "" if len(chosen) == len(runs) else f" of {len(runs)}"
    if stale := sum(run.code == "stale" for run in chosen):
        text = f"{stale} of these {'is' if stale == 1 else 'are'} stale: {MEANINGS['stale']}; {ANEW}"
        console.print(text, soft_wrap=True, highlight=False)
    unknown = sum(run.code == "unknown" for run in chosen)
    total += f"; {unknown} of unknown code" if unknown else ""
    console.print(f"{len(chosen)}{of} run{'' if len(runs) == 1 else 's'} in {options.runs}, {total}", soft_wrap=True)
    return exit_codes.DONE


def _states(text: str | None) -> Sequence[str]:
    if text is None:
        return SHOWN_STATES
    wanted = text.split(",")
    unknown = [state for state in wanted if state not in SHOWN_STATES]
    if unknown:
        raise ConfigError(
            f"--state: there is no state {state!r}.{did_you_mean(state, SHOWN_STATES)} Valid: {', '.join(SHOWN_STATES)}"
            for state in unknown
        )
    return wanted


def print_table(runs: Sequence[RunSummary], console: Console, labels: Mapping[str, str] = MappingProxyType({})) -> None:
    """One row per run, without the columns that have no entry; the reasons follow below, where there is room.

    labels: {signature: what its sweep calls it}.
    """
    wide = console.width >= WIDE
    digits = _digits([run.signature for run in runs])
    table = Table(box=None, padding=(0, 2 if wide else 1, 0, 0), pad_edge=False)
    rows = [_cells(run, digits, labels.get(run.signature, ""), wide=wide) for run in runs]
    titles = [title for title in rows[0] if any(row[title] for row in rows)]
    for title in titles:
        right = title in ("step", VAL_RD_LOSS, "rd_loss", "age", "tries", "size")
        if title == "label":  # which goes on below where it is long, and is never cut
            table.add_column(title, min_width=label_width(row[title] for row in rows), overflow="fold")
        else:
            table.add_column(title, justify="right" if right else "left", no_wrap=True, overflow="ellipsis")
    for run, row in zip(runs, rows, strict=True):
        style = STYLES.get(run.state, "red")
        table.add_row(*[styled(row[title], style if title == "state" else "") for title in titles])
    console.print(table)
    for run, row in zip(runs, rows, strict=True):
        if said := "; ".join(filter(None, (run.reason, run.elsewhere))):
            text = visible(f"{row['run']} {run.state}: {said}")
            text = shortened(text, console.width) if console.is_terminal else text
            console.print(text, soft_wrap=True, style="dim")


def _cells(run: RunSummary, digits: int, label: str, *, wide: bool) -> dict[str, str]:
    """{column: text}, which fits into 100 columns, or into WIDE, but for a label, which goes on below."""
    names = (24, 24, 16) if wide else (10, 12, 11)
    step = "" if run.step is None else f"{run.step}/{run.max_steps}" if run.max_steps else str(run.step)
    name, model, spectral_reg = (
        shortened(visible(text or ""), width)
        for text, width in zip((run.name, run.model, run.spectral_reg), names, strict=True)
    )
    cells = {
        "run": run.signature if wide else run.signature[:digits],
        "name": name,
        "label": visible(label),
        "state": run.state,
        "code": run.code if run.code in ("stale", "unknown") else "",
        "step": step,
        VAL_RD_LOSS if wide else "rd_loss": "" if run.best is None else f"{run.best:.4f}",
        "model": model,
        "spectral_reg" if wide else "reg": spectral_reg if wide or not label else "",
        "age": "" if run.started is None else age_text(time.time() - run.started),
        "size": size_text(run.bytes),
    }
    if wide:
        cells["tries"] = str(run.attempts)
    return cells


def _digits(signatures: Sequence[str], least: int = 8) -> int:
    """How many digits tell these signatures apart."""
    lengths = range(least, max(map(len, signatures)) + 1)
    return next((n for n in lengths if len({s[:n] for s in signatures}) == len(signatures)), least)
