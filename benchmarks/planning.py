"""Cost of planning a sweep: expand, compose, validate, sign and write 200 cells, against 200 single Hydra composes.
And of the plan of a table over many images, which have to be told from others before a cell has a name.

    python benchmarks/planning.py --blocks 10 --images 20000

Prints two Markdown tables. Every block of the first does both in one process, in turn first, on other values, so that
nothing that an earlier block computed is found again. Ratios are formed within a block; their median is reported with a
bootstrap 95 % interval. Seconds are CPU seconds of the process.

A plan over images is a process of its own, `launch.py -m experiment=table2 scale=mini plan=true`: of synthetic images,
of files for the first time, and once more. Its seconds include Python's start. An audit hook counts opens of images.
"""

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import hydra
import numpy as np
from measuring import machine, median_interval
from PIL import Image

from lic_exp.places import conf_folder
from lic_exp.sweeps.create import sweep_request

SEEDS, RATES = 25, 2
GROUPS = ("spectral_reg=none,intra", "optimizer=adam,sgd")
CELLS = SEEDS * RATES * 4
COMMON = ("model=hyperprior", "criterion=mse", "data=synthetic", "tracker=none")


def grid(block: int) -> list[str]:
    """The overrides of a sweep of 200 cells with four choices of groups; no two blocks share a cell."""
    seeds = ",".join(str(block * SEEDS + place) for place in range(SEEDS))
    return [*COMMON, *GROUPS, f"seed={seeds}", "criterion.lmbda=0.0067,0.0483"]


def planned(block: int) -> float:
    """CPU seconds to put a sweep on disk."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.process_time()
        sweep = sweep_request([*grid(block), f"paths.runs={folder}"], several=True).write()
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


ROOT = Path(__file__).resolve().parents[1]

# Runs launch.py with argv[2:], and says how many opens of files below argv[1] there were.
COUNTING = f"""
import atexit, os, runpy, sys
folder, opened = sys.argv[1], []
def hear(event, args):
    if event == "open" and isinstance(args[0], (str, os.PathLike)) and os.fspath(args[0]).startswith(folder):
        opened.append(args[0])
sys.addaudithook(hear)
atexit.register(lambda: print(len(opened), "opens of", len(set(opened)), "images"))
sys.argv = ["launch.py", *sys.argv[2:]]
runpy.run_path({str(ROOT / "launch.py")!r}, run_name="__main__")
"""


def fill(folder: Path, count: int) -> None:
    """Write small images, a twentieth of them for validation, at most 1 000 to a folder."""
    random = np.random.default_rng(0)
    for number in range(count):
        path = folder / ("val" if number < count // 20 else "train") / f"{number // 1000:04d}" / f"{number:08d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(path)


def table_planned(images: Path, cache: Path, *data: str) -> tuple[float, str]:
    """CPU seconds of a process that plans a table over these images, and how many of them it opened."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", COUNTING, str(images), "-m", "experiment=table2", "scale=mini", *data, "plan=true"],
        env=os.environ | {"XDG_CACHE_HOME": str(cache), "PYTHONPATH": str(ROOT)},
        cwd=cache,
        capture_output=True,
        text=True,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    (opens,) = re.findall(r"^\d+ opens of \d+ images$", done.stdout, re.MULTILINE)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, opens


def plans_over_images(count: int, rounds: int) -> None:
    """Print what plans of a table cost whose images are files, and one that has none."""
    seconds: dict[str, list[float]] = {}
    opens: dict[str, set[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder, "images").resolve()
        fill(images, count)
        files = ("data=folder", f"data.train=[{images}/train]", f"data.val=[{images}/val]")
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as cache:
                for name, data in (
                    ("synthetic images", ("data=synthetic",)),
                    (f"{count} files, first plan", files),
                    (f"{count} files, second plan", files),
                ):
                    spent, opened = table_planned(images, Path(cache), *data)
                    seconds.setdefault(name, []).append(spent)
                    opens.setdefault(name, set()).add(opened)
    print("\n| plan of table2 over | opened | CPU [s] | slowest [s] |")
    print("|---|---|---|---|")
    for name, spent in seconds.items():
        print(f"| {name} | {' or '.join(sorted(opens[name]))} | {np.median(spent):.2f} | {max(spent):.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=10, help="interleaved blocks (default: %(default)s)")
    parser.add_argument("--images", type=int, default=20_000, help="files of the second table (default: %(default)s)")
    asked = parser.parse_args()
    blocks = asked.blocks
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
    plans_over_images(asked.images, rounds=min(blocks, 3))


if __name__ == "__main__":
    main()
