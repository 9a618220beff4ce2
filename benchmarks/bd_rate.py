"""10 000 BD-rates of 4 to 8 points, as a bootstrap needs them, against a loop over the package bjontegaard.

    python benchmarks/bd_rate.py --blocks 5

Prints a Markdown table. Every block computes the same curves once by each method and each way, in an order that
rotates; ratios of CPU seconds are formed within a block, and their median over the blocks is reported with a bootstrap
95 % interval. `analysis.bd_rate` checks every curve and returns all three methods whichever is asked for; the loop
computes the one method, unchecked. Both must agree to 1e-9 points.
"""

import argparse
import time
from collections.abc import Callable

import bjontegaard
import numpy as np
from measuring import machine, median_interval

import analysis

METHODS = ("pchip", "akima", "cubic")
POINTS = (4, 5, 6, 7, 8)

Curves = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def bootstrap(points: int, samples: int) -> Curves:
    """Anchor's rate and PSNR, test's rate and PSNR, each (samples, points), like 24 images resampled."""
    random = np.random.default_rng(points)
    rate = np.geomspace(0.1, 0.9, points) * random.lognormal(0, 0.02, (samples, points))
    psnr = 40 + 4.3 * np.log(rate) + random.normal(0, 0.02, (samples, points))
    shift = random.normal(0.9, 0.03, (samples, 1))
    return rate, psnr, rate * shift, psnr + random.normal(0, 0.1, (samples, 1))


def vectorised(curves: list[Curves], method: str) -> np.ndarray:
    return np.concatenate([np.asarray(analysis.bd_rate(*sample, method=method)) for sample in curves])


def loop(curves: list[Curves], method: str) -> np.ndarray:
    values = [
        bjontegaard.bd_rate(*points, method, min_overlap=0) for sample in curves for points in zip(*sample, strict=True)
    ]
    return np.array(values)


def cpu_seconds(way: Callable[[list[Curves], str], np.ndarray], curves: list[Curves], method: str) -> tuple:
    begun = time.process_time()
    values = way(curves, method)
    return time.process_time() - begun, values


def measure(blocks: int, samples: int) -> tuple[np.ndarray, float]:
    """CPU seconds (blocks, methods, 2): loop and vectorised; and the largest difference of their results."""
    curves = [bootstrap(points, samples // len(POINTS)) for points in POINTS]
    seconds, difference = np.empty((blocks, len(METHODS), 2)), 0.0
    vectorised(curves, "pchip")
    for block in range(blocks):
        for turn in range(len(METHODS)):
            column = (block + turn) % len(METHODS)
            seconds[block, column, 0], expected = cpu_seconds(loop, curves, METHODS[column])
            seconds[block, column, 1], values = cpu_seconds(vectorised, curves, METHODS[column])
            difference = max(difference, float(np.abs(values - expected).max()))
    return seconds, difference


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=5, help="interleaved blocks (default: %(default)s)")
    parser.add_argument("--samples", type=int, default=10_000, help="BD-rates per method (default: %(default)s)")
    options = parser.parse_args()
    seconds, difference = measure(options.blocks, options.samples)
    if difference > 1e-9:
        raise RuntimeError(f"the two ways differ by {difference:.3g} points")

    print(
        f"{machine()}; {options.samples} BD-rates, {options.blocks} blocks; results differ by at most "
        f"{difference:.0e} points\n"
    )
    print("| method | loop [CPU s] | vectorised [CPU s] | loop / vectorised | 95 % interval |")
    print("|---|---|---|---|---|")
    for method, (slow, fast) in zip(METHODS, seconds.transpose(1, 2, 0), strict=True):
        ratio, low, high = median_interval(slow / fast)
        times = f"{np.median(slow):.2f} | {np.median(fast):.3f} | {ratio:.0f}x | {low:.0f} to {high:.0f}"
        print(f"| `{method}` | {times} |")


if __name__ == "__main__":
    main()
