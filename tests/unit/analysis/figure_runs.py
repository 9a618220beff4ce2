"""A sweep with trainings behind its evaluations: two arms, four rates, and seeds, one of which may have diverged."""

import json
import math
import random
import shutil
from pathlib import Path

from made_sweeps import write_sweep
from run_folders import curve

from lic_exp.tracking.run_folder import RunFolder, encode_metrics

SWEEP = "grid-1a2b3c4d"
VALIDATIONS, FALLS_AT, REASON = 20, 8, "the loss of step 80 is nan"


def write_trained_sweep(runs: Path, *, seeds=(0, 1, 2), diverged=(), **options) -> list[str]:
    """As `write_sweep`, with metrics. diverged: labels of cells that fell at step 80 and were never evaluated."""
    signatures = write_sweep(runs, SWEEP, seeds=seeds, **options)
    for cell in json.loads((runs / ".sweeps" / SWEEP / "manifest.json").read_text())["cells"]:
        folder = RunFolder(runs / cell["signature"])
        if folder.config.is_file():
            _train(folder, cell["role"], fell=cell["label"] in diverged)
    return signatures


def _train(folder: RunFolder, role: dict, *, fell: bool) -> None:
    noise, intra = random.Random(folder.signature), role["spectral_reg"] == "intra"
    level, sooner = 10 * role["criterion.lmbda"] ** 0.4 * (0.97 if intra else 1), 1.4 if intra else 1.0
    count = FALLS_AT if fell else VALIDATIONS
    values = [level * (1 + 2 * math.exp(-0.2 * sooner * i)) * (1 + 0.01 * noise.gauss()) for i in range(count)]
    entries = curve(values, speed=100 / sooner**0.2, lr=([0.001] * 14 + [0.0001] * 6)[:count])
    for number, entry in enumerate(entries):
        if "val/rd_loss" in entry:
            entry.update({"val/y_bpp": 0.27 * entry["val/rd_loss"], "val/z_bpp": 0.03 * entry["val/rd_loss"]})
        else:
            entry["train/grad_norm"] = math.exp(noise.gauss(0, 0.3)) * 10 ** (max(number - 10, 0) * fell)
            entry.update({"spectral/tau": min(1.0, 0.3 + entry["step"] / 150)} if intra else {})
    if fell:
        entries.append({"step": 10 * count, "epoch": 0, "time": 1e9, "train/diverged": 1.0})
    folder.metrics_file.write_text("".join(map(encode_metrics, entries)))
    folder.update_status(step=entries[-1]["step"], max_steps=10 * VALIDATIONS, sweep=SWEEP)
    if fell:
        folder.update_status(state="diverged", reason=REASON, skipped=[61, 70])
        shutil.rmtree(folder.eval)
        folder.eval.mkdir()
