"""Sweeps of runs without a training: manifests, run folders and evaluations as the platform leaves them."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from run_folders import write_run

from lic_exp.evaluation.conventions import CONVENTIONS
from lic_exp.image_identity import Pictured, identity
from lic_exp.labels import labels

LMBDAS = (0.0018, 0.0067, 0.025, 0.0483)
PHOTOS = (Pictured("a.png", 64, 96, "aaaa"), Pictured("b.png", 64, 96, "bbbb"))
OWN = "0a1b2c3d"
REGULARIZERS = {"none": None, "intra": "lic_exp.spectral_reg.intra_scale.IntraScale"}


def point(lmbda: float, better: float = 0.0) -> dict[str, list[float]]:
    """A point on a curve, `better` times 100 % fewer bits than another."""
    return {"bpp": [3 * lmbda**0.55 * (1 - better)], "psnr": [44 + 4.2 * math.log10(lmbda)]}


def evaluate(
    run: Path,
    results: Mapping[str, Sequence[float]],
    *,
    images: Iterable[Pictured] | None = PHOTOS,
    data: str = "holiday",
    name: str = OWN,
    optimized_for: str = "mse",
    about: Mapping[str, Any] | None = None,
    **conventions: str,
) -> Path:
    """An evaluation in `eval` of a run folder, or in a folder of that for another name than OWN.

    images: None leaves the files as former versions wrote them. about: what evaluation.json says beside.
    """
    folder = run / "eval" if name == OWN else run / "eval" / name
    folder.mkdir(parents=True, exist_ok=True)
    said: dict[str, Any] = {}
    listed = list(PHOTOS if images is None else images)
    if images is not None:
        said = {"images": identity(data, listed), "optimized_for": optimized_for}
        said["conventions"] = {**CONVENTIONS, "weights": "raw", **conventions}
    (folder / "rd_point.json").write_text(json.dumps({"name": run.name, "results": results} | said))
    (folder / "evaluation.json").write_text(json.dumps({"evaluation": name, "exact": True, **said, **(about or {})}))
    rows = [
        f"{image.name},{image.height},{image.width},{bpp},{psnr}"
        for image in listed
        for bpp, psnr in zip(results["bpp"], results["psnr"], strict=True)
    ]
    (folder / "images.csv").write_text("\n".join(["image,height,width,bpp,psnr", *rows]) + "\n")
    return folder


def write_sweep(
    runs: Path,
    name: str = "grid-1a2b3c4d",
    *,
    effect: Mapping[str, float] | None = None,
    seeds: Sequence[int] = (0,),
    lmbdas: Sequence[float] = LMBDAS,
    without: Iterable[str] = (),
    first: int = 0,
    made: str = "2026-11-26",
) -> list[str]:
    """A sweep over regularizers, lmbda and seeds; the signatures of its cells.

    effect: how much better each regularizer is. without: labels of cells that have not begun. first: a number that no
    other sweep in the folder begins its signatures with.
    """
    effect = {"none": 0.0, "intra": 0.05} if effect is None else effect
    roles = [
        {"spectral_reg": reg, "criterion.lmbda": lmbda, "seed": seed}
        for reg in effect
        for lmbda in lmbdas
        for seed in seeds
    ]
    cells = []
    for number, (role, label) in enumerate(zip(roles, labels(roles), strict=True)):
        signature = f"{first + number:016x}"[::-1]
        cells.append({"signature": signature, "label": label, "role": role, "evaluation": OWN})
        if label in without:
            continue
        run = write_run(
            runs / signature,
            schema_version=2,
            seed=role["seed"],
            criterion__lmbda=role["criterion.lmbda"],
            spectral_reg___target_=REGULARIZERS.get(role["spectral_reg"], REGULARIZERS["intra"]),
        )
        better = effect[role["spectral_reg"]]
        evaluate(run, point(role["criterion.lmbda"], better and better + 0.01 * role["seed"]))
    write_manifest(runs, name, cells, made)
    return [cell["signature"] for cell in cells]


def write_manifest(runs: Path, name: str, cells: Sequence[Mapping[str, Any]], made: str = "2026-11-26") -> None:
    folder = runs / ".sweeps" / name
    (folder / "cells").mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps({"made": made, "cells": cells}))
