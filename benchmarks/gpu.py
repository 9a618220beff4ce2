"""A training step on a GPU by every way of `trainer.compile`: milliseconds, peak memory, kernels, share of the peak.

    python benchmarks/gpu.py hpcm_base:off,full,graphs dhic_paper:graphs,graphs+channels_last dhic_tiny@8x128:off,graphs

A row is MODEL[@IMAGESxSIDE]:WAY,WAY...; a way is off, blocks, full or graphs, followed by "+" and: float32, tf32 (in
products too), bf16 or fp16; channels_last; search (cuDNN's); or NAME=VALUE, a setting of inductor's such as
combo_kernels=true. With `--released FOLDER`, a clone of the released HPCM code, there is the way "released" too, in
torch's defaults: float32, whose convolutions are TF32.

Every way is a process. They warm up beside each other, `--parallel` at a time, and are measured one after the other
when all of these are warm. The step is the platform's own (Adam, clipping, checks; no loader) of a fixed batch, medians
over blocks of steps. Nodes are what a profiler sees of one step on the device. With `--device cpu` it shows that it
works, on a small model. Without a GPU it measures nothing else.
"""

import argparse
import csv
import json
import math
import os
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

from measuring import machine

STEP = Path(__file__).parent / "measuring" / "gpu_step.py"
ROWS = ["hpcm_base:off,full,graphs", "dhic_paper:off,full,graphs"]
BATCH, SIDE = 16, 256
HEAD = (
    *("model", "images", "way", "first two steps [s]", "step [ms]", "lowest to highest", "host [ms]"),
    *("busy [ms]", "nodes", "peak [GiB]", "TFLOP/s", "of a product's"),
)


class Row(NamedTuple):
    """What is measured: a model on so many images of these sides, in one way."""

    model: str
    batch: int
    side: int
    way: str


def rows_of(text: str) -> list[Row]:
    """Rows of MODEL[@IMAGESxSIDE]:WAY,WAY... Raises ValueError for anything else."""
    named, _, ways = text.partition(":")
    model, _, size = named.partition("@")
    batch, side = (int(number) for number in size.split("x")) if size else (BATCH, SIDE)
    if not model or not ways:
        raise ValueError(f"{text!r} is no row: write MODEL:WAY,WAY or MODEL@IMAGESxSIDE:WAY,WAY")
    return [Row(model, batch, side, way) for way in ways.split(",")]


class Way:
    """The process of a row, and what it says."""

    def __init__(self, row: Row, chosen: argparse.Namespace, compile_threads: int) -> None:
        self.row, self.limit_s = row, chosen.limit_s
        self.errors: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed with the process)
        more = ["--released", str(chosen.released)] if chosen.released else []
        self.process = subprocess.Popen(
            [
                *(sys.executable, str(STEP), row.model, str(row.batch), str(row.side), row.way),
                *("--device", chosen.device, "--precision", chosen.precision, *more),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env={"TORCHINDUCTOR_COMPILE_THREADS": str(compile_threads)} | os.environ,
        )
        self.lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                self.lines.put(line)
        self.lines.put("")

    def told(self, until: float) -> dict[str, Any] | None:
        """The next thing that it says, or None where it ends or time is over."""
        try:
            line = self.lines.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            return None
        return json.loads(line) if line else None

    def measured(self) -> dict[str, Any] | None:
        """Have it measure."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended, beside others that took the memory
            self.process.stdin.write("go\n")
            self.process.stdin.flush()
        return self.told(time.monotonic() + self.limit_s)

    def end(self) -> str:
        """End it; the last that it wrote to stderr, all of which goes to stderr here where it failed."""
        ended = self.process.poll()
        self.process.kill()
        self.process.communicate()
        self.errors.seek(0)
        said = [line.rstrip() for line in self.errors if line.strip()]
        self.errors.close()
        if ended and said:
            print(f"-- {self.row.model} {self.row.way}", *said[-30:], sep="\n", file=sys.stderr, flush=True)
        if ended is None:
            return "took too long"
        return said[-1] if said else f"ended with {ended}"


def measured(rows: Sequence[Row], chosen: argparse.Namespace) -> Iterator[tuple[Row, dict[str, Any] | str]]:
    """What was found for each row, or why nothing."""
    for first in range(0, len(rows), chosen.parallel):
        wave = rows[first : first + chosen.parallel]
        threads = max(2, math.ceil(1.5 * (os.cpu_count() or 1) / len(wave)))
        ways = [Way(row, chosen, threads) for row in wave]
        try:
            until = time.monotonic() + chosen.limit_s
            warm = [way.told(until) is not None for way in ways]
            for way, ready in zip(ways, warm, strict=True):
                found = way.measured() if ready else None
                said = way.end()
                yield way.row, found or said
        finally:
            for way in ways:
                if way.process.poll() is None:
                    way.process.kill()


def shown(row: Row, found: dict[str, Any] | str) -> str:
    """A line of the table."""
    named = f"| {row.model} | {row.batch} of {row.side} | {row.way} |"
    if isinstance(found, str):
        return f"{named} failed: {found} |" + " |" * (len(HEAD) - 4)
    ms, reached = statistics.median(found["ms"]), 1e3 * found["tflop"] / statistics.median(found["ms"])
    numbers = (
        *(f"{found['first_two_s']:.1f}", f"{ms:.2f}", f"{min(found['ms']):.2f} to {max(found['ms']):.2f}"),
        *(f"{statistics.median(found['host_ms']):.2f}", f"{found['busy_ms']:.2f}", str(found["nodes"])),
        *(f"{found['peak_gib']:.1f}", f"{reached:.3g}", f"{reached / found['product_tflops']:.1%}"),
    )
    return f"{named} {' | '.join(numbers)} |"


def device_name(device: str) -> str:
    """Of the first GPU, or nothing; asked of a process of its own, so that none of its memory is taken here."""
    asked = (
        "import torch; print('torch', torch.__version__, torch.cuda.is_available() and torch.cuda.get_device_name())"
    )
    told = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout.split()
    version, name = told[1], " ".join(told[2:])
    if device.startswith("cuda") and name == "False":
        return ""
    return f"{name if device.startswith('cuda') else 'CPU'}, torch {version}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"by default {' '.join(ROWS)}")
    parser.add_argument("--precision", choices=["float32", "tf32", "bf16", "fp16"], default="bf16")
    parser.add_argument("--parallel", type=int, default=4, metavar="N", help="ways that share the memory of the device")
    parser.add_argument("--limit-s", type=float, default=300, help="after which a way that is not warm is given up")
    parser.add_argument("--released", type=Path, metavar="FOLDER")
    parser.add_argument("--tables", type=Path, metavar="FILE", help="a CSV of the kernels of one step, way by way")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all that was found")
    parser.add_argument("--device", default="cuda")
    chosen = parser.parse_args(arguments)
    rows = [row for text in chosen.rows or ROWS for row in rows_of(text)]
    named = device_name(chosen.device)
    if not named:
        print("there is no CUDA device here, so nothing is measured")
        return 0
    began = time.monotonic()
    print(
        f"{named}; {machine()}\n{chosen.precision} unless a way says otherwise; {chosen.parallel} warm up at a time\n"
    )
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}", flush=True)
    every: list[tuple[Row, dict[str, Any]]] = []
    for row, found in measured(rows, chosen):
        print(shown(row, found), flush=True)
        if not isinstance(found, str):
            every.append((row, found))
    products = {f"{found['product_tflops']:.3g}" for _, found in every}
    print(f"\nproducts of two matrices reached {' to '.join(sorted(products))} TFLOP/s; ", end="")
    print(f"{time.monotonic() - began:.0f} s in all")
    if chosen.json:
        chosen.json.write_text(json.dumps([row._asdict() | found for row, found in every]))
    if chosen.tables:
        with open(chosen.tables, "w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["model", "way", "kernel", "count", "ms"])
            for row, found in every:
                lines = [(name[:200], count, f"{ms:.4f}") for name, count, ms in found["kernels"]]
                table.writerows([row.model, row.way, *line] for line in lines)
    return 0 if len(every) == len(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
