"""A study of table2 without a training: four rates, three seeds, and what their runs would have left behind."""

import json
import math
import random
from pathlib import Path

from run_folders import curve, write_run

from lic_exp.ablation_spec import FOLDER, read_table

CONF = Path(__file__).parents[3] / "conf"
RATES = [0.0018, 0.0067, 0.025, 0.0483]
STEPS = 20
EFFECT = {"naive": (1.0, 1.0), "intra": (1.4, 0.97)}
"""How much sooner and how much smaller, of the rows that can be run."""

IMAGES = {
    "a": (0.8, 1.0, 0.006),
    "b": (1.2, -1.0, -0.004),
    "c": (0.9, 0.5, 0.004),
    "d": (1.1, -0.5, 0.004),
    "e": (1.0, 0.25, -0.005),
    "f": (1.0, -0.25, -0.003),
    "g": (0.7, 1.5, 0.002),
    "h": (1.3, -1.5, -0.002),
}
"""Of each image its bits and its PSNR beside the mean, and how much more than of others a row that saves bits needs."""


def write_study(runs, *, without=(), diverged=(), table="table2"):
    """Write runs and manifest to `runs`. without, diverged: (variant, seed) of which one rate's run is so."""
    plan = read_table(CONF / "experiment" / f"{table}.yaml").model_copy(update={"rates": {"criterion.lmbda": RATES}})
    cells = []
    for cell in plan.cells():
        if cell.variant not in EFFECT:
            continue
        rate = cell.rate["criterion.lmbda"]
        signature = f"{list(EFFECT).index(cell.variant):02d}{cell.seed:04d}{RATES.index(rate):010d}"
        cells.append(vars(cell) | {"signature": signature})
        marked = (cell.variant, cell.seed)
        if marked in without and rate == RATES[1]:
            continue
        state = "diverged" if marked in diverged and rate == RATES[2] else "done"
        write_cell(runs / signature, cell, rate, state)
    manifest = {
        "experiment": table,
        "scale": "mini",
        "study": cells[0]["signature"],
        "overrides": ["trainer.max_epochs=50"],
        "made": "2026-11-23T12:00:00+00:00",
        "table": plan.model_dump(),
        "cells": cells,
    }
    (runs / FOLDER).mkdir(parents=True, exist_ok=True)
    (runs / FOLDER / f"{table}-{manifest['study'][:8]}.json").write_text(json.dumps(manifest))
    return manifest


def write_cell(folder, cell, lmbda, state):
    sooner, smaller = EFFECT[cell.variant]
    noise = 1 + 0.002 * random.Random(repr(cell).removeprefix("Table")).gauss()
    level = 10 * lmbda**0.4 * smaller * noise
    values = [level * (1 + 2 * math.exp(-0.4 * sooner * i)) for i in range(STEPS)]
    rates = [0.001 if i < 14 else 0.0001 for i in range(STEPS)]
    entries = curve(values, every=10, speed=100.0 / sooner**0.2, lr=rates)
    for entry in entries:
        if "val/rd_loss" in entry:
            entry |= {"val/y_bpp": 0.9 * level, "val/z_bpp": 0.1 * level}
    if state == "diverged":
        entries = [entry for entry in entries if entry["step"] <= 70]
    bpp, psnr = 3 * lmbda**0.55 * smaller * noise, 44 + 4.2 * math.log10(lmbda)
    rows = [
        f"{name},64,64,{bpp * size * (1 + (own if smaller != 1 else 0))!r},{psnr + above!r},,True,False"
        for name, (size, above, own) in IMAGES.items()
    ]
    write_run(
        folder,
        entries,
        state=state,
        images="image,height,width,bpp,psnr,ms_ssim,exact,validates\n" + "\n".join(rows) + "\n"
        if state == "done"
        else None,
        seed=cell.seed,
        criterion__lmbda=lmbda,
        **({"spectral_reg___target_": "lic_exp.spectral_reg.intra_scale.IntraScale"} if sooner != 1 else {}),
    )
