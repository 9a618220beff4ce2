"""Reading a study: 1 000 synthetic run folders as tables, cold (no cache of ours) and cached, a table and a report.

    python benchmarks/load_runs.py --runs 1000 --entries 60 --repeats 5

Prints a Markdown table. Each reading is a process of its own, as a command is, so imports count. The files are in the
system's own cache, which a first reading after a reboot does not have. `json and yaml` is what it costs to decode the
same files with Python's json and yaml line by line, the plain way, without making tables of them.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from measuring import machine, median_interval

from lic_exp import ablation_spec as tables
from lic_exp.tracking.run_folder import RunFolder, encode_metrics

RATES = (0.0018, 0.0035, 0.0067, 0.013, 0.025)
SEEDS = 10
"""A variant has a run per seed and rate: 1 000 runs are a table of 20 rows."""

TRAIN = ("loss", "bpp_loss", "mse_loss", "psnr", "y_bpp", "z_bpp", "aux_loss", "grad_norm", "grad_norm_aux", "lr")
VAL = ("rd_loss", "bpp_loss", "mse_loss", "psnr", "ms_ssim", "ms_ssim_db")
CONFIG = """\
schema_version: 2
seed: {seed}
name: run {seed}
tags:
- benchmark
model:
  _target_: lic_exp.models.compressai_zoo.MeanScaleHyperprior
  N: 128
  M: 192
spectral_reg:
  _target_: null
optimizer:
  _target_: lic_exp.optimizers.factories.adam
  lr: 0.0001
  betas:
  - 0.9
  - 0.999
criterion:
  _target_: lic_exp.training.criterion.MSE
  lmbda: {lmbda}
data:
  _target_: lic_exp.data.sources.Folder
  batch_size: 16
  crop_size: 256
  steps_per_epoch: 1000
trainer:
  max_steps: {steps}
"""
READ = "import analysis; r = analysis.load_runs({runs!r}{options}); "
TABLE = "t = r.final(['val/rd_loss', 'val/psnr']).join(r.runs.set_index('signature')[['lmbda', 'state']]); " + (
    "print(t.groupby('lmbda')[['val/rd_loss', 'val/psnr']].agg(['mean', 'std', 'count']))"
)
PLAIN = (
    "import json, yaml; from pathlib import Path; "
    "[[json.loads(line) for line in open(path)] for path in Path({runs!r}).glob('*/metrics.jsonl')]; "
    "[yaml.safe_load(path.read_text()) for path in Path({runs!r}).glob('*/config.yaml')]"
)
REPORT = (
    "from analysis.__main__ import main; main(['report', 'benchmark', '--runs', {runs!r}, '--out', {out!r} + '.html'])"
)
ABLATION = "from analysis.__main__ import main; main(['ablation', {table!r}, '--runs', {runs!r}, '--out', {out!r}])"
READINGS = {
    "json and yaml": PLAIN,
    "load_runs, cold": READ.replace("{options}", ", cache=False"),
    "load_runs, cold, one metric": READ.replace("{options}", ", metrics=['val/rd_loss'], cache=False"),
    "load_runs, first, writing the cache": READ.replace("{options}", ""),
    "load_runs, cached": READ.replace("{options}", ""),
    "a table by lambda, cached": READ.replace("{options}", "") + TABLE,
    "an ablation table in four formats, cached": ABLATION,
    "a report of that table, cached": REPORT,
}


def write_study(folder: Path, count: int, entries: int) -> Path:
    """`count` runs in `folder`, and the file of a table that they fill."""
    size = SEEDS * len(RATES)
    names = ["naive", *(f"variant_{i}" for i in range(1, count // size))]
    table = {
        "title": "A benchmark's table",
        "paper": "nobody's",
        "baseline": "naive",
        "seeds": list(range(SEEDS)),
        "rates": {"criterion.lmbda": list(RATES)},
        "variants": {name: {"label": name, "overrides": [], "paper": {"bd_rate": -1.0}} for name in names},
    }
    cells = []
    for i in range(count):
        seed, rate = i % size // len(RATES), RATES[i % len(RATES)]
        write_run(folder / f"{i:016x}", i, seed, rate, entries)
        cell = {"seed": seed, "rate": {"criterion.lmbda": rate}, "signature": f"{i:016x}"}
        cells += [cell | {"variant": names[i // size]}] if i // size < len(names) else []
    manifest = {"experiment": "benchmark", "scale": None, "study": f"{0:016x}", "overrides": [], "made": "2026-01-01"}
    (folder / tables.FOLDER).mkdir()
    (folder / tables.FOLDER / "benchmark-0.json").write_text(json.dumps(manifest | {"table": table, "cells": cells}))
    path = folder.with_name("benchmark.yaml")
    path.write_text(json.dumps({"table": table}))
    return path


def write_run(folder: Path, number: int, seed: int, lmbda: float, entries: int) -> None:
    """A run folder as the platform leaves it: `entries` lines of training metrics and a tenth as many evaluations."""
    run, random = RunFolder(folder), np.random.default_rng(number)
    run.create()
    run.config.write_text(CONFIG.format(seed=seed, lmbda=lmbda, steps=100 * entries))
    run.update_status(state="done", step=100 * entries, attempt=1, reason="", max_steps=100 * entries)
    run.environment.write_text(json.dumps({"git_commit": "0" * 40, "git_dirty": False, "packages": {}}))
    lines = []
    for i in range(1, entries + 1):
        at = {"step": 100 * i, "epoch": i // 10, "time": 1e9 + i}
        train = {f"train/{name}": float(random.random()) for name in TRAIN}
        lines.append(encode_metrics(at | train | {"train/lr": 1e-4 if i < 0.7 * entries else 1e-5}))
        if i % 10 == 0:
            level = 20 * lmbda**0.5 * (1 + 5 / i + 0.01 * random.random())
            lines.append(encode_metrics(at | {f"val/{name}": level + place for place, name in enumerate(VAL)}))
    run.metrics_file.write_text("".join(lines))
    bpp, psnr = 3 * lmbda**0.5, 44 + 4 * np.log10(lmbda)
    noise = random.normal(1, 0.01, (24, 2))
    rows = [f"kodim{i:02d},512,768,{bpp * a},{psnr * b},True" for i, (a, b) in enumerate(noise.tolist(), 1)]
    columns = ("image", "height", "width", "bpp", "psnr")
    summary = {"evaluation": "0" * 8, "rows": [dict(zip(columns, row.split(","), strict=False)) for row in rows]}
    (run.eval / "evaluation.json").write_text(json.dumps(summary))
    point = {"bpp": [float(np.mean(bpp * noise[:, 0]))], "psnr": [float(np.mean(psnr * noise[:, 1]))]}
    (run.eval / "rd_point.json").write_text(json.dumps({"name": folder.name, "results": point}))
    (run.eval / "images.csv").write_text("image,height,width,bpp,psnr,exact\n" + "\n".join(rows) + "\n")


def seconds(reading: str, runs: Path) -> tuple[float, float]:
    """CPU and wall seconds of one process that makes this reading."""
    if "cached" not in reading:
        shutil.rmtree(runs / ".analysis", ignore_errors=True)
    table, out = runs.with_name("benchmark.yaml"), runs.with_name("tables")
    code = READINGS[reading].format(runs=str(runs), table=str(table), out=str(out))
    begun = time.perf_counter()
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    wall_s = time.perf_counter() - begun
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise RuntimeError(f"{reading} ended with exit code {child.returncode}")
    return usage.ru_utime + usage.ru_stime, wall_s


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000, help="run folders (default: %(default)s)")
    parser.add_argument("--entries", type=int, default=60, help="logged steps of each (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="interleaved blocks (default: %(default)s)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder, "runs")
        write_study(runs, options.runs, options.entries)
        taken = np.array([[seconds(name, runs) for name in READINGS] for _ in range(options.repeats)])
    cpu, wall = taken.transpose(2, 1, 0)
    print(f"{machine()}; {options.runs} runs of {options.entries} log entries, {options.repeats} blocks\n")
    print("| reading | CPU [s] | CPU / json and yaml | 95 % interval | wall [s] | slowest wall [s] |")
    print("|---|---|---|---|---|---|")
    for name, cpu_s, wall_s in zip(READINGS, cpu, wall, strict=True):
        ratio, low, high = median_interval(cpu_s / cpu[0])
        interval = "" if low == high else f"{low:.2f} to {high:.2f}"
        times = f"{np.median(cpu_s):.2f} | {ratio:.2f}x | {interval} | {np.median(wall_s):.2f} | {wall_s.max():.2f}"
        print(f"| {name} | {times} |")


if __name__ == "__main__":
    main()
