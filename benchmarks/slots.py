"""Two trainings at once on two cores against one after the other: what the second slot of a sweep gives.

    python benchmarks/slots.py --blocks 5

Prints a Markdown table. Each block gives the same two cells to the local launcher with one slot and with two, one
thread a cell, in alternating order; wall times of whole commands, ratios within a block.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from measuring import machine, median_interval

LAUNCH = str(Path(__file__).resolve().parent.parent / "launch.py")
CELLS = [
    *("-m", "seed=0,1", "trainer.threads=1", "data.num_workers=0", "data.val_limit=1", "evaluation.enabled=false"),
    *("tracker=none", "hydra/launcher=local", "data.batch_size=8", "data.crop_size=128"),
]
MODELS = {"dhic_tiny": "criterion=variable_rate", "hpcm_tiny": "criterion=mse"}
SLOTS = (1, 2)


def sweep(model: str, steps: int, slots: int) -> float:
    """Seconds of a sweep."""
    with tempfile.TemporaryDirectory() as folder:
        asked = [f"model={model}", MODELS[model], f"trainer.max_steps={steps}", f"hydra.launcher.slots={slots}"]
        command = [sys.executable, LAUNCH, *CELLS, *asked, f"paths.runs={folder}/runs"]
        begun = time.perf_counter()
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--blocks", type=int, default=5, help="pairs of sweeps (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=200, help="of each cell (default: %(default)s)")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    print(f"{machine()}; {options.blocks} blocks of two cells of {options.steps} steps\n")
    print("| model | one slot [s] | two slots [s] | one / two | 95 % interval |")
    print("|---|---|---|---|---|")
    for model in options.models:
        seconds = np.empty((options.blocks, 2))
        for block in range(options.blocks):
            for slots in SLOTS if block % 2 else reversed(SLOTS):
                seconds[block, SLOTS.index(slots)] = sweep(model, options.steps, slots)
        ratio, low, high = median_interval(seconds[:, 0] / seconds[:, 1])
        one, two = np.median(seconds, axis=0)
        print(f"| {model} | {one:.1f} | {two:.1f} | {ratio:.2f}x | {low:.2f} to {high:.2f} |", flush=True)


if __name__ == "__main__":
    main()
