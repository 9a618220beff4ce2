"""What a run says of itself on the console. Imports no torch."""

import logging
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from lic_exp.capabilities import CriterionFacts
from lic_exp.config.schema import RunConfig
from lic_exp.evaluation.rates import MSE_UNIT
from lic_exp.runs.run import Run
from lic_exp.tracking.run_folder import RunFolder

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger("lic_exp.runs")


def announce(config: RunConfig, run: RunFolder, console: Console) -> None:
    """One line per choice before training starts."""
    groups = ("model", "spectral_reg", "optimizer", "scheduler", "criterion", "data")
    chosen = {group: getattr(config, group).label for group in groups}
    console.print(f"run {run.signature} in {run.root}", highlight=False, markup=False, soft_wrap=True)
    console.print("  ".join(f"{group} {name}" for group, name in chosen.items()), markup=False, soft_wrap=True)
    facts = config.criterion.component.schema.facts if config.criterion.component else None
    if isinstance(facts, CriterionFacts) and facts.variable_rate:
        low, high = config.criterion.options["lmbda_min"], config.criterion.options["lmbda_max"]
        console.print(
            f"a range of rates: lmbda {low:.4g} to {high:.4g}, which as weights of MSE on [0, 1] are "
            f"{MSE_UNIT * low:.4g} to {MSE_UNIT * high:.4g}; the validation rates: artifacts/validation_rates.csv",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


def conclude(run: Run, console: Console) -> None:
    """What a finished run has found: measured on real bitstreams, mean over its evaluated images."""
    rows = run.evaluation
    if rows.empty:
        console.print("It was not evaluated (evaluation.enabled=false).")
    else:
        console.print(_means(rows))
    console.print(f"pictures, tables, checkpoints: {run.folder}", highlight=False, markup=False, soft_wrap=True)


MEASURES = {
    "rate": ("quality", "{:g}"),
    "lmbda": ("lmbda", "{:.4g}"),
    "bpp": ("bpp", "{:.4f}"),
    "psnr": ("PSNR dB", "{:.2f}"),
    "ms_ssim": ("MS-SSIM", "{:.4f}"),
    "ms_ssim_db": ("MS-SSIM dB", "{:.2f}"),
}
"""Columns of an images.csv whose mean is shown: title and form."""


def _means(rows: "pd.DataFrame") -> Table:
    """Means over images, a row per rate."""
    several = "rate" in rows
    points = [part for _, part in rows.groupby("rate", dropna=False)] if several else [rows]
    table = Table(title=f"mean of {len(points[0])} images, real bitstreams")
    columns = {name: form for name, (_, form) in MEASURES.items() if name in rows}
    for name in columns:
        table.add_column(MEASURES[name][0], justify="right")
    table.add_column("decoding", justify="right")
    for point in points:
        means = {column: point[column].mean() for column in columns}
        exact = "exact" if "exact" in point and point["exact"].all() else "DIFFERS from the encoder"
        cells = [
            form.format(means[column]) if means[column] == means[column] else "" for column, form in columns.items()
        ]
        table.add_row(*cells, exact)
    return table


def say(console: Console, text: str) -> None:
    """A line that is said also where progress is not to be shown: then as a warning."""
    if console.quiet:
        log.warning(text)
    else:
        console.print(text, highlight=False, markup=False, soft_wrap=True)
