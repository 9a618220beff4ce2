"""From giving a command to a run's first step on SLURM: a sweep of one cell against a bare sbatch of `launch.py`.

    python benchmarks/slurm.py --blocks 8

Starts the tests' own cluster on this machine, and needs SLURM's packages. Each block does both, in turns; the clock
runs from before the command until the moment that metrics.jsonl gives for step 1.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from measuring import machine, median_interval

CHECKOUT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(CHECKOUT / "tests" / "slurm"))
from cluster import Cluster  # noqa: E402

RUN = (
    "data=synthetic",
    "data.crop_size=64",
    "data.val_limit=1",
    "debug=limit",
    "trainer.log_every_steps=1",
    "trainer.threads=1",
    "evaluation.enabled=false",
    "tracker=none",
)
NAMES = ("bare sbatch", "hydra/launcher=slurm")


def submit(name: str, folder: Path) -> None:
    """Submit one run of its own in `folder`; returns once sbatch has."""
    launch = [sys.executable, str(CHECKOUT / "launch.py"), *RUN]
    if name == NAMES[0]:
        command = ["sbatch", "--mem=3G", "--output=/dev/null", "--wrap", shlex.join(launch)]
    else:
        command = [*launch, "hydra/launcher=slurm", "hydra.launcher.mem_gb=3"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def first_step(folder: Path) -> float:
    """When the first step was logged [Unix s]. Raises TimeoutError after two minutes."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for path in folder.glob("runs/*/metrics.jsonl"):
            line = path.read_text().partition("\n")
            if line[1]:
                return float(json.loads(line[0])["time"])
        time.sleep(0.02)
    raise TimeoutError(f"no step was logged in {folder}")


def measure(blocks: int) -> tuple[np.ndarray, np.ndarray]:
    """Seconds (blocks, 2) until the command returns, and until the first step; the first block is not measured."""
    returned, stepped = np.empty((2, blocks + 1, len(NAMES)))
    with tempfile.TemporaryDirectory() as temporary, Cluster() as cluster:
        os.environ.update(cluster.environment | {"OMP_NUM_THREADS": "1"})
        for block in range(blocks + 1):
            for turn in range(len(NAMES)):
                column = (block + turn) % len(NAMES)
                folder = Path(temporary, f"{block}-{column}")
                folder.mkdir()
                begun = time.time()
                submit(NAMES[column], folder)
                returned[block, column] = time.time() - begun
                stepped[block, column] = first_step(folder) - begun
                cluster.wait_idle()
    return returned[1:], stepped[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=8, help="interleaved blocks (default: %(default)s)")
    blocks = parser.parse_args().blocks
    returned, stepped = measure(blocks)
    print(f"{machine()}; {blocks} blocks\n")
    print("| | command returns [s] | first step [s] | slowest [s] |")
    print("|---|---|---|---|")
    for column, name in enumerate(NAMES):
        times = f"{np.median(returned[:, column]):.2f} | {np.median(stepped[:, column]):.2f}"
        print(f"| {name} | {times} | {stepped[:, column].max():.2f} |")
    more, low, high = median_interval(stepped[:, 1] - stepped[:, 0])
    print(f"\nOverhead until the first step: {more:.2f} s ({low:.2f} to {high:.2f}).")


if __name__ == "__main__":
    main()
