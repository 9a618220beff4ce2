"""Cost of planning a sweep: expand, compose, validate, sign and write 200 cells, against 200 single Hydra composes.

    python benchmarks/planning.py --blocks 10

Prints a Markdown table. Every block does both in one process, in turn first, on other values, so that nothing that an
earlier block computed is found again. Ratios are formed within a block; their median is reported with a bootstrap
95 % interval. Seconds are CPU seconds of the process.
"""

import argparse
import tempfile
import time
from pathlib import Path

import hydra
import numpy as np
from measuring import machine, median_interval

from lic_exp.launching.overrides import conf_folder
from lic_exp.launching.sweeps.making import make

SEEDS, RATES = 25, 2
GROUPS = ("spectral_reg=none,intra", "optimizer=adam,sgd")
CELLS = SEEDS * RATES * 4
COMMON = ("data=synthetic", "tracker=none")


def grid(block: int) -> list[str]:
    """The overrides of a sweep of 200 cells with four choices of groups; no two blocks share a cell."""
    seeds = ",".join(str(block * SEEDS + place) for place in range(SEEDS))
    return [*COMMON, *GROUPS, f"seed={seeds}", "criterion.lmbda=0.0067,0.0483"]


def planned(block: int) -> float:
    """CPU seconds to put a sweep on disk."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.process_time()
        sweep = make([*grid(block), f"paths.runs={folder}"], several=True).write()
        spent = time.process_time() - begun
        if len(sweep.cells) != CELLS or len(list(Path(sweep.folder, "cells").iterdir())) != CELLS:
            raise RuntimeError(f"the sweep has {len(sweep.cells)} cells, not {CELLS}")
        return spent


def composed(block: int) -> float:
    """CPU seconds of as many composes by Hydra, nothing validated or signed."""
    begun = time.process_time()
    for place in range(CELLS):
        with hydra.initialize_config_dir(str(conf_folder()), version_base="1.3"):
            hydra.compose("config", [*COMMON, "spectral_reg=intra", "optimizer=sgd", f"seed={block * CELLS + place}"])
    return time.process_time() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=10, help="interleaved blocks (default: %(default)s)")
    blocks = parser.parse_args().blocks
    planned(0), composed(0)
    seconds = np.empty((blocks, 2))
    for block in range(1, blocks + 1):
        for turn in (0, 1) if block % 2 else (1, 0):
            seconds[block - 1, turn] = (planned, composed)[turn](block)
    ratio, low, high = median_interval(seconds[:, 1] / seconds[:, 0])
    print(f"{machine()}; {blocks} blocks of {CELLS} cells with 4 choices of groups\n")
    print("| | CPU [s] | slowest [s] |")
    print("|---|---|---|")
    for name, column in (("sweep planned, signed, written", 0), ("single Hydra composes", 1)):
        print(f"| {name} | {np.median(seconds[:, column]):.2f} | {seconds[:, column].max():.2f} |")
    print(f"\nHydra takes {ratio:.1f} times as long (95 % interval {low:.1f} to {high:.1f}).")


if __name__ == "__main__":
    main()
