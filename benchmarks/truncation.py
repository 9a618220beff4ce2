"""Cost of the frequency truncation against the four dense products that define it.

    python benchmarks/truncation.py --blocks 30

Prints a Markdown table of ratios of CPU seconds. Each block times both ways, in an order that alternates, so that a
slow minute of the machine hits both; a ratio is formed within a block, and its median over the blocks is reported
with a bootstrap 95 % interval. Matrices and masks are built before timing, for both.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from measuring import machine, median_interval
from torch import Tensor

from lic_exp.ops.dct import dct_matrix, frequency_mask, truncate

TAUS = (0.05, 0.3, 1.0)


def cpu_ms(call: Callable[[], Tensor], repeats: int) -> float:
    """CPU time of one call, over all threads [ms]."""
    start = time.process_time()
    for _ in range(repeats):
        call()
    return 1e3 * (time.process_time() - start) / repeats


def dense_truncation(x: Tensor, tau: float) -> Callable[[], Tensor]:
    """P_H^T (P_H x P_W^T * M) P_W as written, on whole matrices."""
    height, width = x.shape[-2:]
    rows, columns = (dct_matrix(side, x.dtype, x.device) for side in (height, width))
    mask = frequency_mask(height, width, tau, "soft").to(x)
    return lambda: rows.T @ ((rows @ x @ columns.T) * mask) @ columns


def measure(x: Tensor, tau: float, blocks: int, repeats: int) -> np.ndarray:
    """CPU milliseconds (blocks, 2) of the dense and the truncated way, after checking that they agree."""
    calls = (dense_truncation(x, tau), lambda: truncate(x, tau, "soft"))
    torch.testing.assert_close(calls[1](), calls[0](), rtol=0, atol=1e-5)
    times = np.empty((blocks, 2))
    for block in range(blocks):
        for way in (0, 1) if block % 2 == 0 else (1, 0):
            times[block, way] = cpu_ms(calls[way], repeats)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=30, help="interleaved blocks (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="calls per way and block (default: %(default)s)")
    parser.add_argument("--shape", type=int, nargs=4, default=(16, 3, 256, 256), metavar=("B", "C", "H", "W"))
    parser.add_argument("--threads", type=int, default=1, help="torch threads (default: %(default)s)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    x = torch.rand(*args.shape, generator=torch.Generator().manual_seed(0))

    print(f"{machine()}, {args.threads} threads, torch {torch.__version__};")
    print(f"x {tuple(args.shape)} float32, {args.blocks} blocks of {args.repeats} calls\n")
    print("| tau | dense [CPU ms] | truncate [CPU ms] | dense / truncate | 95 % interval |")
    print("|---|---|---|---|---|")
    for tau in TAUS:
        times = measure(x, tau, args.blocks, args.repeats)
        dense, truncated = np.median(times, axis=0)
        ratio, low, high = median_interval(times[:, 0] / times[:, 1])
        print(f"| {tau} | {dense:.1f} | {truncated:.1f} | {ratio:.2f}x | {low:.2f} to {high:.2f} |")


if __name__ == "__main__":
    main()
