"""Which cells of a sweep are done in a results folder (`paths.results`), and so are not trained."""

import os
from pathlib import Path
from typing import Any

from lic_exp.runs.committed import check_place, committed_run
from lic_exp.runs.run import Run
from lic_exp.sweeps.freezing import Frozen
from lic_exp.tracking.run_folder import is_run_folder


def committed_cells(frozen: Frozen) -> dict[str, Any] | None:
    """What the sweep's manifest says of them: the `folder`, and the signatures of `cells`; None where there are none.

    What has begun here goes on here. A cell that another one is to begin from is trained too, since results have no
    weights. Raises ConfigError as `committed_run`, and where cells would be trained in a results folder.
    """
    first = next(iter(frozen.configs.values()))
    check_place(first)
    if first.paths.results is None:
        return None
    found, begun_from = list[str](), set[str]()
    for cell in reversed(frozen.cells):
        own = frozen.runs / cell.signature
        here = is_run_folder(own)
        if not here and cell.signature not in begun_from and committed_run(frozen.configs[cell.signature]) is not None:
            found.append(cell.signature)
        elif cell.parent is not None and not (here and Run(own).state == "done"):
            begun_from.add(cell.parent)
    return {"folder": os.path.abspath(Path(first.paths.results)), "cells": found[::-1]} if found else None
