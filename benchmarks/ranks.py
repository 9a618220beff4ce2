"""Images per second of one training by one process and by two ranks, on the cores of this machine.

    python benchmarks/ranks.py --models dhic_tiny hpcm_tiny --blocks 5

Prints a Markdown table. Whole runs of so many steps take turns, and a run's speed is that of its second half, by its
own metrics. Ways: 1 x 1 is one rank with one thread, 1 x 2 one rank with two threads, 2 x 1 two ranks with one each.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from measuring import machine, median_interval

WAYS = {"1 x 1": (1, 1), "1 x 2": (1, 2), "2 x 1": (2, 1)}
STEPS = 40


def images_per_s(model: str, ranks: int, threads: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        chosen = [f"model={model}", "data=synthetic", "data.batch_size=8", "data.crop_size=128", "tracker=none"]
        length = [f"trainer.max_steps={STEPS}", f"trainer.log_every_steps={STEPS // 2}", "evaluation.enabled=false"]
        how = ["trainer.device=cpu", f"trainer.devices={ranks}", f"trainer.threads={threads}", f"paths.runs={folder}"]
        launch = Path(__file__).parents[1] / "launch.py"
        done = subprocess.run([sys.executable, str(launch), *chosen, *length, *how], check=False, capture_output=True)
        if done.returncode:
            sys.exit(done.stderr.decode()[-2000:])
        (log,) = Path(folder).glob("*/metrics.jsonl")
        speeds = [json.loads(line).get("train/images_per_s") for line in log.read_text().splitlines()]
    return float([speed for speed in speeds if speed is not None][-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["dhic_tiny", "hpcm_tiny"])
    parser.add_argument("--blocks", type=int, default=5)
    options = parser.parse_args()
    os.environ.pop("OMP_NUM_THREADS", None)
    print(f"{machine()}; {options.blocks} blocks\n")
    print("| model | ranks x threads | images/s | over 1 x 1 | 95 % |\n|---|---|---|---|---|")
    for model in options.models:
        found: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(options.blocks):
            for way, (ranks, threads) in WAYS.items():
                found[way].append(images_per_s(model, ranks, threads))
        for way, speeds in found.items():
            ratios = [speed / alone for speed, alone in zip(speeds, found["1 x 1"], strict=True)]
            middle, low, high = median_interval(np.array(ratios))
            speed = sorted(speeds)[len(speeds) // 2]
            print(f"| {model} | {way} | {speed:.1f} | {middle:.2f}x | {low:.2f} to {high:.2f} |")


if __name__ == "__main__":
    main()
