"""Cost of the search for training images that are held out: time and memory by the number of images.

    python benchmarks/duplicates.py

Prints a Markdown table. Thumbnails are made: noise whose amplitude falls as 1/f, as that of photographs does, with a
copy of a held-out one, somewhat disturbed, in every thousandth place. Each size is a process of its own, its memory
the peak beyond the thumbnails themselves. The comparison of each with each, in one matrix as it was before there was
an index, is measured where it fits, in the same run; beyond that its memory is computed: nine bytes per pair, two
kilobytes per image. Seconds are CPU seconds.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from measuring import machine
from numpy.typing import NDArray

from lic_exp.data.duplicates import PIXELS, SAME, THUMBNAIL, first_matches, normalised, not_flat

SETS = {
    "DIV2K, Kodak": (800, 24),
    "20 000 and 2 000": (20_000, 2_000),
    "COCO": (118_287, 5_000),
    "a million and 50 000": (1_000_000, 50_000),
    "ImageNet": (1_281_167, 50_000),
}
ALL_AT_ONCE = 50_000_000
"""Pairs of which a matrix is made for comparison: 450 MB."""


def thumbnails(count: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """(count, PIXELS), some of them flat."""
    radius = np.hypot(np.fft.fftfreq(THUMBNAIL)[:, None], np.fft.rfftfreq(THUMBNAIL)[None])
    radius[0, 0] = np.inf
    made = np.empty((count, PIXELS), np.uint8)
    for start in range(0, count, 10_000):
        some = made[start : start + 10_000]
        spectra = np.fft.rfft2(rng.standard_normal((len(some), THUMBNAIL, THUMBNAIL))) / radius
        values = np.fft.irfft2(spectra, s=(THUMBNAIL, THUMBNAIL)).reshape(len(some), PIXELS)
        values *= rng.uniform(1, 60, (len(some), 1)) / values.std(axis=1, keepdims=True)
        some[:] = (128 + values).clip(0, 255).round()
    return made


def sides(train: int, held_out: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    right, left = thumbnails(held_out, rng), thumbnails(train, rng)
    rows = np.arange(0, train, 1000)
    sources = right[rng.integers(held_out, size=len(rows))]
    noise = rng.standard_normal(sources.shape) * sources.std(axis=1, keepdims=True) * 0.05
    left[rows] = (sources + noise).clip(0, 255).round()
    return left, right


def each_with_each(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> dict[int, int]:
    rows, columns = not_flat(left), not_flat(right)
    found: dict[int, int] = {}
    for row, column in np.argwhere(normalised(left[rows]) @ normalised(right[columns]).T > SAME):
        found.setdefault(int(rows[row]), int(columns[column]))
    return found


def measure(train: int, held_out: int, search: str) -> None:
    """Print seconds, memory beyond the thumbnails [MB] and what was found, as JSON."""
    left, right = sides(train, held_out)
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = peak_mb()
    begun = time.process_time()
    found = (first_matches if search == "index" else each_with_each)(left, right)
    spent = time.process_time() - begun
    print(json.dumps({"s": spent, "mb": peak_mb() - before, "found": sorted(found.items())}))


def peak_mb() -> float:
    """The most memory that this process has had since it was last asked to forget [MB]."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def measured(train: int, held_out: int, search: str) -> dict[str, object]:
    command = [sys.executable, __file__, "--measure", str(train), str(held_out), search]
    said: dict[str, object] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", nargs=3, metavar=("TRAIN", "HELD_OUT", "SEARCH"), help=argparse.SUPPRESS)
    chosen = parser.parse_args().measure
    if chosen:
        measure(int(chosen[0]), int(chosen[1]), chosen[2])
        return
    print(machine())
    print()
    print("| set | training | held out | thumbnails [MB] | CPU [s] | beyond [MB] | each with each [s] | [MB] | found |")
    print("|" + "---|" * 9)
    for name, (train, held_out) in SETS.items():
        index = measured(train, held_out, "index")
        pairs = train * held_out
        old = measured(train, held_out, "each") if pairs <= ALL_AT_ONCE else None
        if old and old["found"] != index["found"]:
            raise RuntimeError(f"{name}: the two ways do not find the same")
        seconds = f"{old['s']:.2f}" if old else ""
        memory = f"{old['mb']:.0f}" if old else f"{(9 * pairs + 2048 * (train + held_out)) / 1e6:.0f} (computed)"
        print(
            f"| {name} | {train} | {held_out} | {(train + held_out) * PIXELS / 1e6:.0f} | {index['s']:.2f} | "
            f"{index['mb']:.0f} | {seconds} | {memory} | {len(index['found'])} |"  # type: ignore[arg-type]
        )


if __name__ == "__main__":
    main()
