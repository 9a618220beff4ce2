"""What coding a picture takes of memory: the whole of a square and large ones in tiles, each in a process of its own.

    python benchmarks/coding_memory.py [MODEL ...]

Weights are random. A peak is what the kernel has of the process, less what it took before.
"""

import multiprocessing
import sys
import time
from pathlib import Path

MODELS = (
    "dhic_tiny",
    "hpcm_tiny",
    "mean_scale_hyperprior_tiny",
    "joint_autoregressive_tiny",
    "hpcm_base",
    "dhic_paper",
)
SIDE = {"hpcm_base": 512, "dhic_paper": 512, "joint_autoregressive_tiny": 512}
LARGE, LARGE_MODELS = (4000, 6000), ("dhic_tiny",)
MB = 2**20


def peak_mb(now: bool) -> float:
    """Memory of this process: now, or the most since the last call that asked for now [MB]."""
    status = Path("/proc/self/status").read_text()
    if now:
        Path("/proc/self/clear_refs").write_text("5")
    return int(status.split("VmRSS:" if now else "VmHWM:")[1].split()[0]) / 1024


def measure(model: str, sides: tuple[int, int]) -> tuple[float, float, float, float, float]:
    """Of encoding and decoding: MB above what there was before, seconds; and the bytes of a pixel that are foretold."""
    import numpy as np
    import torch

    import lic_exp
    from lic_exp.files.memory import bytes_per_pixel

    torch.set_num_threads(1)
    coarse = np.random.default_rng(0).random((sides[0] // 32, sides[1] // 32, 3))
    array = np.repeat(np.repeat(np.rint(coarse * 255).astype(np.uint8), 32, 0), 32, 1)
    codec = lic_exp.create_model(model)
    foretold = bytes_per_pixel(codec)
    lic_exp.decode_image(lic_exp.encode_image(array[:64, :64], codec), codec)
    found = []
    before, start = peak_mb(now=True), time.perf_counter()
    data = lic_exp.encode_image(array, codec)
    found += [peak_mb(now=False) - before, time.perf_counter() - start]
    before, start = peak_mb(now=True), time.perf_counter()
    lic_exp.decode_image(data, codec, form="array")
    found += [peak_mb(now=False) - before, time.perf_counter() - start]
    return found[0], found[1], found[2], found[3], foretold


def main() -> None:
    models = sys.argv[1:] or MODELS
    jobs = [(model, (SIDE.get(model, 1024),) * 2) for model in models]
    jobs += [(model, LARGE) for model in models if model in LARGE_MODELS]
    print("| model | picture | encode [MB] | decode [MB] | B/pixel | foretold [B/pixel] | encode [s] | decode [s] |")
    print("|---|---|---|---|---|---|---|---|")
    for model, sides in jobs:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            encode_mb, encode_s, decode_mb, decode_s, foretold = pool.apply(measure, (model, sides))
        pixel = max(encode_mb, decode_mb) * MB / (sides[0] * sides[1])
        print(
            f"| {model} | {sides[1]}x{sides[0]} | {encode_mb:.0f} | {decode_mb:.0f} | {pixel:.0f} | {foretold:.0f} | "
            f"{encode_s:.1f} | {decode_s:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
