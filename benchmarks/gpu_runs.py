"""Whole runs on a GPU: eight small ones at once against one, and the platform against its own step of a fixed batch.

    python benchmarks/gpu_runs.py --eight off graphs --mps --alone hpcm_base:graphs+channels_last

`--eight WAY ...`: images/s of one run of a small model, and of eight at once (`-m seed=0,...,7` with eight slots), all
together while all of them train. With `--mps` once more below NVIDIA's Multi-Process Service, which is started for it
and ended: without it the kernels of different processes take turns.
`--alone MODEL:WAY ...`: images/s of a run on photos of 512 pixels that are decoded already, and of the step that
`benchmarks/gpu.py` measures, one after the other. A way is a way of `benchmarks/gpu.py`.

Photos are made, half PNG and half WebP. Speeds are `train/images_per_s`, medians of the intervals between log entries
in the time that is measured; runs are ended when there are enough. What takes longer than `--limit-s` is given up.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import gpu
import numpy as np
from measuring import machine
from PIL import Image

LAUNCH = Path(__file__).parents[1] / "launch.py"
ENDLESS = 10_000_000
MEASURED = 5
"""Log entries of each run that are waited for while all train."""

LOGGED = {"off": 20, "graphs": 100}
"""Steps between two log entries of a small model."""

QUICK = [
    *(f"trainer.max_steps={ENDLESS}", f"trainer.validate_every_steps={ENDLESS}"),
    *(f"trainer.checkpoint_every_steps={ENDLESS}", "trainer.try_step=false", "tracker=none"),
    *("evaluation.enabled=false", "optimizer=adam", "data=folder", "data.preflight=off", "data.val_limit=1"),
]


def make_photos(folder: Path, count: int, side: int = 512) -> None:
    """Pictures with large shapes and fine grain, in train/ and val/."""
    drawn = np.random.default_rng(0)
    for number in range(count):
        shapes = Image.fromarray(drawn.integers(0, 256, (12, 12, 3), dtype=np.uint8))
        smooth = np.asarray(shapes.resize((side, side), Image.Resampling.BICUBIC), dtype=np.float32)
        pixels = smooth + drawn.normal(0, 6, smooth.shape)
        place = folder / ("val" if number < 2 else "train")
        place.mkdir(parents=True, exist_ok=True)
        suffix = "png" if number % 2 else "webp"
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(place / f"{number}.{suffix}", quality=90)


def overrides_of(way: str) -> list[str]:
    """A way of gpu.py as options of a run."""
    how, *more = way.split("+")
    words = {"channels_last": "trainer.channels_last=true"}
    return [f"trainer.compile={how}", *(words.get(word, f"trainer.precision={word}") for word in more)]


def suited(model: str) -> list[str]:
    return [f"model={model}", f"criterion={'variable_rate' if model.startswith('dhic') else 'mse'}"]


class Runs:
    """A command that trains so many runs, in a folder of their own."""

    def __init__(self, folder: Path, arguments: Sequence[str], count: int) -> None:
        self.folder, self.count = folder, count
        folder.mkdir(parents=True)
        self.log = open(folder / "said.txt", "w+")  # noqa: SIM115 (closed when it is ended)
        self.process = subprocess.Popen(
            [sys.executable, str(LAUNCH), *arguments, f"paths.runs={folder / 'runs'}"],
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=folder,
        )

    def speeds(self, limit_s: float) -> list[float]:
        """Images/s of each, while all train. Raises RuntimeError where they end or take too long."""
        until = time.monotonic() + limit_s
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise RuntimeError(self.said())
            entries = [self._entries(path) for path in sorted(self.folder.glob("runs/*/metrics.jsonl"))]
            if len(entries) == self.count and all(entries):
                begun = max(of_run[0][0] for of_run in entries)
                together = [[speed for at, speed in of_run if at > begun] for of_run in entries]
                if all(len(of_run) >= MEASURED for of_run in together):
                    return [statistics.median(of_run) for of_run in together]
            time.sleep(0.2)
        raise RuntimeError(f"not within {limit_s:.0f} s; {self.said()}")

    def _entries(self, path: Path) -> list[tuple[float, float]]:
        """(when, images/s) of all whole lines but the first, whose interval is that of compiling."""
        lines = [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
        found = [(line["time"], line["train/images_per_s"]) for line in lines if "train/images_per_s" in line]
        return found[1:]

    def said(self) -> str:
        self.log.flush()
        lines = (self.folder / "said.txt").read_text(errors="replace").split("\n")
        return " ".join(line.strip() for line in lines[-6:] if line.strip())[-300:]

    def end(self) -> None:
        """With all that it has started: the pool asks its cells to stop, and what does not is killed."""
        own = {int(path.name) for path in Path("/proc").glob("[0-9]*") if _belongs(path, str(self.folder))}
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process in own | {self.process.pid}:
                _send(process, number)
            if number == signal.SIGTERM:
                time.sleep(3)
        self.process.wait()
        self.log.close()


def _belongs(process: Path, folder: str) -> bool:
    """Whether it is one of those that train in this folder, by its command."""
    try:
        return folder in (process / "cmdline").read_text(errors="replace")
    except OSError:
        return False


def _send(process: int, number: signal.Signals) -> None:
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return


def speeds(folder: Path, arguments: Sequence[str], count: int, limit_s: float) -> list[float]:
    runs = Runs(folder, arguments, count)
    try:
        return runs.speeds(limit_s)
    finally:
        runs.end()


@contextmanager
def shared_device(folder: Path) -> Iterator[None]:
    """Inside, the processes that are started share the GPU by NVIDIA's Multi-Process Service."""
    places = {"CUDA_MPS_PIPE_DIRECTORY": str(folder / "pipe"), "CUDA_MPS_LOG_DIRECTORY": str(folder / "log")}
    for place in places.values():
        Path(place).mkdir(parents=True)
    os.environ.update(places)
    subprocess.run(["nvidia-cuda-mps-control", "-d"], check=True, timeout=20)
    try:
        yield
    finally:
        subprocess.run(["nvidia-cuda-mps-control"], input="quit\n", text=True, check=False, timeout=30)
        for name in places:
            del os.environ[name]


def eight(ways: Sequence[str], photos: Path, folder: Path, chosen: argparse.Namespace) -> None:
    """The table of small runs."""
    print(f"\n{chosen.small}, 8 of 128x128, {chosen.count} runs at once against one\n")
    print("| way | service | one [images/s] | at once, together | times one | slowest to fastest |")
    print("|---|---|---|---|---|---|", flush=True)
    for way in ways:
        how = way.split("+")[0]
        own = [*suited(chosen.small), *overrides_of(way), *QUICK, f"trainer.device={chosen.device}"]
        own += [f"trainer.log_every_steps={LOGGED.get(how, 20)}", "trainer.threads=1", "data.num_workers=1"]
        own += [f"data.train=[{photos}/train]", f"data.val=[{photos}/val]", "data.batch_size=8", "data.crop_size=128"]
        seeds = ",".join(str(seed) for seed in range(chosen.count))
        many = ["-m", *own, f"seed={seeds}", f"hydra.launcher.slots={chosen.count}"]
        one = None
        for service in ("none", "MPS") if chosen.mps else ("none",):
            place = folder / f"{how}-{service}"
            try:
                if one is None:
                    (one,) = speeds(place / "one", own, 1, chosen.limit_s)
                if service == "none":
                    found = speeds(place / "many", many, chosen.count, chosen.limit_s)
                else:
                    with shared_device(place / "service"):
                        found = speeds(place / "many", many, chosen.count, chosen.limit_s)
            except (RuntimeError, OSError, subprocess.SubprocessError) as error:
                print(f"| {way} | {service} | failed: {' '.join(str(error).split())} | | | |", flush=True)
                continue
            spread = f"{min(found):.0f} to {max(found):.0f}"
            print(
                f"| {way} | {service} | {one:.0f} | {sum(found):.0f} | {sum(found) / one:.2f} | {spread} |", flush=True
            )


def alone(rows: Sequence[str], photos: Path, folder: Path, chosen: argparse.Namespace) -> None:
    """The table of the platform beside its own step."""
    print("\n| model | way | run on photos [images/s] | step of a fixed batch | run over step | workers |")
    print("|---|---|---|---|---|---|", flush=True)
    for row in [row for text in rows for row in gpu.rows_of(text)]:
        named = f"| {row.model} | {row.way} |"
        words = {"bf16", "fp16", "float32"} & set(row.way.split("+"))
        way = row.way if words else f"{row.way}+{chosen.precision}"
        own = [*suited(row.model), *overrides_of(way), *QUICK, f"trainer.device={chosen.device}", *chosen.more]
        own += [f"trainer.log_every_steps={chosen.log_every}", f"data.num_workers={chosen.workers}"]
        own += [f"data.batch_size={row.batch}", f"data.crop_size={row.side}"]
        own += [f"data.train=[{photos}/train]", f"data.val=[{photos}/val]"]
        try:
            (run,) = speeds(folder / f"{row.model}-{row.way}", own, 1, chosen.limit_s)
        except RuntimeError as error:
            print(f"{named} failed: {' '.join(str(error).split())} | | | |", flush=True)
            continue
        measured = [found for _, found in gpu.measured([row], chosen)]
        if isinstance(measured[0], str):
            print(f"{named} {run:.1f} | failed: {measured[0]} | | |", flush=True)
            continue
        step = 1e3 * row.batch / statistics.median(measured[0]["ms"])
        print(f"{named} {run:.1f} | {step:.1f} | {run / step:.3f} | {chosen.workers} |", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--eight", nargs="*", default=[], metavar="WAY")
    parser.add_argument("--alone", nargs="*", default=[], metavar="ROW")
    parser.add_argument("--small", default="dhic_tiny", metavar="MODEL", help="the small model")
    parser.add_argument("--count", type=int, default=8, help="of small runs at once")
    parser.add_argument("--mps", action="store_true")
    parser.add_argument("--precision", choices=["float32", "bf16", "fp16"], default="bf16", help="of --alone")
    parser.add_argument("--workers", type=int, default=8, help="of --alone")
    parser.add_argument("--log-every", type=int, default=50, help="of --alone")
    parser.add_argument("--photos", type=int, default=64)
    parser.add_argument("--limit-s", type=float, default=120)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("more", nargs="*", metavar="OVERRIDE", help="of --alone, for instance trainer.ema_decay=0.999")
    chosen = parser.parse_args(arguments, argparse.Namespace(released=None, parallel=1))
    named = gpu.device_name(chosen.device)
    if not named:
        print("there is no CUDA device here, so nothing is measured")
        return 0
    print(f"{named}; {machine()}")
    folder = Path(tempfile.mkdtemp())
    os.environ.setdefault("XDG_CACHE_HOME", str(folder / "cache"))
    try:
        make_photos(folder / "photos", chosen.photos)
        if chosen.alone:
            alone(chosen.alone, folder / "photos", folder, chosen)
        if chosen.eight:
            eight(chosen.eight, folder / "photos", folder, chosen)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
