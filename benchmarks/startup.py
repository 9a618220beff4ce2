"""Cost of starting: `--cfg job`, `--help` and a refused override against importing Hydra alone.

    python benchmarks/startup.py --blocks 20

Prints a Markdown table. Every block starts each command once as a process of its own, in an order that rotates, so
that a slow minute of the machine hits all of them. CPU seconds are the child's user and system time; ratios to the
import are formed within a block, and their median over the blocks is reported with a bootstrap 95 % interval.
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
BASE = "import hydra"
COMMANDS = {
    BASE: (["-c", "import hydra"], 0),
    "launch.py --cfg job": ([LAUNCH, "--cfg", "job"], 0),
    "launch.py --help": ([LAUNCH, "--help"], 0),
    "launch.py optimizer.lrr=1 (refused)": ([LAUNCH, "optimizer.lrr=1"], 2),
    "launch.py model=nosuch criterion.lmbda=64 (refused)": ([LAUNCH, "model=nosuch", "criterion.lmbda=64"], 2),
}
"""What is started, by its name in the table, and the exit code that it must have."""


def start(name: str, folder: str) -> tuple[float, float]:
    """CPU and wall seconds of one start. Raises RuntimeError where it does not end as it must."""
    arguments, expected = COMMANDS[name]
    begun = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, *arguments], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(child.pid, 0)
    wall_s = time.perf_counter() - begun
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != expected:
        raise RuntimeError(f"{name} ended with exit code {child.returncode}, not {expected}")
    return usage.ru_utime + usage.ru_stime, wall_s


def measure(blocks: int) -> np.ndarray:
    """Seconds (blocks, commands, 2): CPU and wall; the first, unmeasured block leaves caches and .pyc files warm."""
    names = list(COMMANDS)
    seconds = np.empty((blocks + 1, len(names), 2))
    with tempfile.TemporaryDirectory() as folder:
        for block in range(blocks + 1):
            for turn in range(len(names)):
                column = (block + turn) % len(names)
                seconds[block, column] = start(names[column], folder)
    return seconds[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=20, help="interleaved blocks (default: %(default)s)")
    blocks = parser.parse_args().blocks
    cpu, wall = measure(blocks).transpose(2, 1, 0)

    print(f"{machine()}; {blocks} blocks\n")
    print("| command | CPU [s] | CPU / import hydra | 95 % interval | wall [s] | slowest wall [s] |")
    print("|---|---|---|---|---|---|")
    for name, cpu_s, wall_s in zip(COMMANDS, cpu, wall, strict=True):
        ratio, low, high = median_interval(cpu_s / cpu[list(COMMANDS).index(BASE)])
        interval = "" if name == BASE else f"{low:.2f} to {high:.2f}"
        times = f"{np.median(cpu_s):.3f} | {ratio:.2f}x | {interval} | {np.median(wall_s):.3f} | {wall_s.max():.3f}"
        print(f"| `{name}` | {times} |")


if __name__ == "__main__":
    main()
