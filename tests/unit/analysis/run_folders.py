"""Run folders without a training: the files that the platform writes, with values a test chooses."""

import copy
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from lic_exp.runs.code_hash import KIND, code_hash
from lic_exp.tracking.run_folder import RunFolder, encode_metrics

OTHER_CODE = (f"{KIND}0123456789abcdef",)
"""Of a run that is stale."""

COMMIT = "4c019a243a92bd4db539302e1b6f3f186ed47050"
CONFIG: dict[str, Any] = {
    "schema_version": 1,
    "seed": 0,
    "name": None,
    "tags": [],
    "model": {"_target_": "lic_exp.models.compressai_zoo.MeanScaleHyperprior", "weights": None, "N": 32, "M": 48},
    "spectral_reg": {"_target_": None},
    "optimizer": {"_target_": "lic_exp.optimizers.factories.adam", "lr": 0.002, "betas": [0.9, 0.999]},
    "criterion": {"_target_": "lic_exp.training.criterion.MSE", "lmbda": 0.013},
    "data": {
        "_target_": "lic_exp.data.sources.Folder",
        "train": ["photos/train"],
        "val": ["photos/val"],
        "batch_size": 8,
        "crop_size": 64,
        "steps_per_epoch": 10,
        "val_crop_size": None,
        "val_limit": None,
    },
    "evaluation": {"enabled": True, "data": None, "limit": None},
    "parent": None,
    "tracker": {"_target_": None},
    "paths": {"runs": "runs"},
}
IMAGES = "image,height,width,bpp,psnr,ms_ssim,exact\n0001,64,64,0.5,30.0,,True\nNA,64,96,0.25,inf,0.9,False\n"


def config_of(**changes: Any) -> dict[str, Any]:
    """CONFIG with other values; a key with `__` for its dots: `criterion__lmbda=0.05`."""
    config = copy.deepcopy(CONFIG)
    for name, value in changes.items():
        *path, key = name.split("__")
        node = config
        for part in path:
            node = node[part]
        node[key] = value
    return config


def write_run(
    folder: Path,
    entries: Iterable[Mapping[str, Any]] = (),
    *,
    state: str = "done",
    heartbeat: float | None = None,
    commit: str | None = COMMIT,
    code: Sequence[str] | None = None,
    images: str | None = None,
    **changes: Any,
) -> Path:
    """A run folder; `changes` are those of `config_of`. code: hashes of what made it; None: of the code of now."""
    run, entries = RunFolder(folder), list(entries)
    run.create()
    run.config.write_text(yaml.safe_dump(config_of(**changes), sort_keys=False))
    last = max((entry["step"] for entry in entries), default=0)
    made_by = [code_hash()] if code is None else list(code)
    run.update_status(state=state, attempt=1, reason="", step=last, started=time.time(), code=made_by)
    if heartbeat is not None:
        run.status_file.write_text(json.dumps(run.status() | {"heartbeat": heartbeat}))
    run.environment.write_text(json.dumps({"git_commit": commit, "git_dirty": False, "packages": {"torch": "2"}}))
    run.metrics_file.write_text("".join(encode_metrics(entry) for entry in entries))
    if images is not None:
        (run.eval / "images.csv").write_text(images)
    return folder


def curve(
    values: Iterable[float], *, every: int = 10, speed: float = 100.0, lr: Iterable[float] | None = None
) -> list[dict[str, Any]]:
    """Entries of a run that evaluates every so many steps: `val/rd_loss`, with the speed and rate logged before it."""
    values = list(values)
    rates = [0.001] * len(values) if lr is None else list(lr)
    entries = []
    for i, (value, rate) in enumerate(zip(values, rates, strict=True), start=1):
        at = {"step": i * every, "epoch": (i * every - 1) // 10, "time": 1e9 + i}
        entries.append(at | {"train/loss": value, "train/lr": rate, "train/images_per_s": speed})
        entries.append(at | {"val/rd_loss": value, "val/psnr": 30.0 - value})
    return entries
