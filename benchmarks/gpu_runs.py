"""Whole runs on a GPU: eight small ones at once against one, and the platform against its own step of a fixed batch.

    python benchmarks/gpu_runs.py --eight off+bf16 graphs+bf16 --mps --alone hpcm_base:graphs+channels_last

`--eight WAY ...`: images/s of one run of a small model, and of eight at once (`-m seed=0,...,7` with eight slots), all
together. With `--mps` once more below NVIDIA's Multi-Process Service, which is started for it and ended: without it
the kernels of different processes take turns.
`--alone MODEL:WAY ...`: images/s of a run on photos of 512 pixels that are decoded already, and of the step that
`benchmarks/gpu.py` measures. A way is a way of `benchmarks/gpu.py`, without settings of the compiler.

Photos are made, half PNG and half WebP. All runs start beside each other, which takes longest; each group of them is
halted (SIGSTOP) when it trains, and when all do, or `--limit-s` is over, each trains for itself until there are enough
intervals between log entries, whose median `train/images_per_s` is told; then it is killed.
"""

import argparse
import contextlib
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
from pathlib import Path

import gpu
import numpy as np
from measuring import machine
from PIL import Image

LAUNCH = Path(__file__).parents[1] / "launch.py"
ENDLESS = 10_000_000
MEASURED = 4
"""Intervals of each run that are waited for, after one that is not counted."""

LOGGED = {"off": 10, "graphs": 100}
"""Steps in an interval of a small model."""

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
    """A way of gpu.py as options of a run. Raises ValueError for one that no run can have."""
    how, *more = way.split("+")
    if how == "released" or {"tf32", "search"} & set(more) or "=" in way:
        raise ValueError(
            f"{way}: a run knows no released code, no tf32 of its own, no search and no compiler's settings"
        )
    words = {"channels_last": "trainer.channels_last=true"}
    return [f"trainer.compile={how}", *(words.get(word, f"trainer.precision={word}") for word in more)]


def suited(model: str) -> list[str]:
    """With the numbers of gpu.py, so that what the compiler has made there is found."""
    criterion = ["criterion=variable_rate"] if model.startswith("dhic") else ["criterion=mse", "criterion.lmbda=0.013"]
    return [f"model={model}", *criterion]


class Runs:
    """A command that trains `count` runs, in a folder of their own."""

    def __init__(self, folder: Path, arguments: Sequence[str], count: int, environment: dict[str, str]) -> None:
        self.folder, self.count = folder, count
        folder.mkdir(parents=True)
        self.said_to = folder / "said.txt"
        self.halted = False
        with open(self.said_to, "w") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(LAUNCH), *arguments, f"paths.runs={folder / 'runs'}"],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=folder,
                env=os.environ | environment,
            )

    def entries(self) -> list[list[tuple[float, float]]]:
        """(when, images/s) of every interval of each run."""
        return [_intervals(path) for path in sorted(self.folder.glob("runs/*/metrics.jsonl"))]

    def halt_when_all_train(self) -> bool:
        """Whether it is halted, or nothing more can come of it."""
        found = self.entries()
        if not self.halted and len(found) == self.count and all(found):
            self._send(signal.SIGSTOP)
            self.halted = True
        return self.halted or self.process.poll() is not None

    def speeds(self, limit_s: float) -> list[float]:
        """Images/s of each from now on. Raises RuntimeError where there are none within the time."""
        if not self.halted:
            raise RuntimeError(f"not training in time: {self.said()}")
        began, until = time.time(), time.monotonic() + limit_s
        self._send(signal.SIGCONT)
        while time.monotonic() < until:
            # The interval that it was halted in tells nothing.
            since = [[speed for at, speed in of_run if at > began][1:] for of_run in self.entries()]
            if all(len(of_run) >= MEASURED for of_run in since):
                return [statistics.median(of_run) for of_run in since]
            time.sleep(0.05)
        raise RuntimeError(f"too slow to be measured in {limit_s:.0f} s: {self.said()}")

    def said(self) -> str:
        lines = [line.strip() for line in self.said_to.read_text(errors="replace").split("\n") if line.strip()]
        return " ".join(lines[-4:])[-200:]

    def end(self) -> None:
        self._send(signal.SIGKILL)
        self.process.wait()

    def _send(self, number: signal.Signals) -> None:
        """To all that train in this folder, which is in their commands."""
        for place in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if f"{self.folder}/" in (place / "cmdline").read_text(errors="replace"):
                    os.kill(int(place.name), number)


def _intervals(metrics: Path) -> list[tuple[float, float]]:
    """Of all whole lines but the first, whose interval is that of compiling."""
    lines = [json.loads(line) for line in metrics.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return [(line["time"], line["train/images_per_s"]) for line in lines if "train/images_per_s" in line][1:]


@contextlib.contextmanager
def shared_device(folder: Path) -> Iterator[dict[str, str]]:
    """Inside, processes with this environment share the GPU by NVIDIA's Multi-Process Service; {} without one."""
    if not shutil.which("nvidia-cuda-mps-control"):
        yield {}
        return
    places = {"CUDA_MPS_PIPE_DIRECTORY": str(folder / "pipe"), "CUDA_MPS_LOG_DIRECTORY": str(folder / "log")}
    for place in places.values():
        Path(place).mkdir(parents=True)
    environment, control = os.environ | places, ["nvidia-cuda-mps-control"]
    try:
        subprocess.run([*control, "-d"], env=environment, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        yield {}
        return
    try:
        yield places
    finally:
        subprocess.run(control, input="quit\n", text=True, env=environment, check=False, timeout=30)


def small(way: str, count: int, photos: Path, chosen: argparse.Namespace) -> list[str]:
    """The command of so many small runs."""
    own = [*suited(chosen.small), *overrides_of(way), *QUICK, f"trainer.device={chosen.device}"]
    own += [f"trainer.log_every_steps={LOGGED.get(way.partition('+')[0], 10)}", "trainer.threads=1"]
    own += [f"data.train=[{photos}/train]", f"data.val=[{photos}/val]", "data.num_workers=1"]
    own += ["data.batch_size=8", "data.crop_size=128"]
    if count == 1:
        return own
    return ["-m", *own, f"seed={','.join(map(str, range(count)))}", f"hydra.launcher.slots={count}"]


def large(row: gpu.Row, photos: Path, chosen: argparse.Namespace) -> list[str]:
    """The command of a run on photos."""
    told = {"bf16", "fp16", "float32"} & set(row.way.split("+"))
    way = row.way if told else f"{row.way}+{chosen.precision}"
    own = [*suited(row.model), *overrides_of(way), *QUICK, f"trainer.device={chosen.device}", *chosen.more]
    own += [f"trainer.log_every_steps={chosen.log_every}", f"data.num_workers={chosen.workers}"]
    own += [f"data.batch_size={row.batch}", f"data.crop_size={row.side}"]
    return [*own, f"data.train=[{photos}/train]", f"data.val=[{photos}/val]"]


def measured(runs: Runs, limit_s: float) -> list[float] | str:
    """The speeds of runs, which end with it, or why there are none."""
    try:
        return runs.speeds(limit_s)
    except RuntimeError as error:
        return str(error).replace("|", "/")
    finally:
        runs.end()


def show_small(way: str, service: str, one: list[float] | str, many: list[float] | str) -> None:
    if isinstance(one, str) or isinstance(many, str):
        why = one if isinstance(one, str) else many
        print(f"| {way} | {service} | failed: {why} | | | |", flush=True)
        return
    together, spread = sum(many), f"{min(many):.0f} to {max(many):.0f}"
    print(f"| {way} | {service} | {one[0]:.0f} | {together:.0f} | {together / one[0]:.2f} | {spread} |", flush=True)


def show_large(row: gpu.Row, run: list[float] | str, way: gpu.Way, warm: bool) -> None:
    named = f"| {row.model} | {row.way} |"
    found = way.measured() if warm else None
    said = way.end()
    if isinstance(run, str) or found is None:
        print(f"{named} failed: {run if isinstance(run, str) else said} | | |", flush=True)
        return
    step = 1e3 * row.batch / statistics.median(found["ms"])
    print(f"{named} {run[0]:.1f} | {step:.1f} | {run[0] / step:.3f} |", flush=True)


def tables(chosen: argparse.Namespace, folder: Path, groups: dict[str, Runs]) -> None:
    """Start all, have each train for itself, and print what was found. groups: what is running, to be ended."""
    photos, cache = folder / "photos", {"XDG_CACHE_HOME": str(folder / "cache")}
    make_photos(photos, chosen.photos)
    rows = [row for text in chosen.alone for row in gpu.rows_of(text)]
    with shared_device(folder / "service") if chosen.mps else contextlib.nullcontext({}) as service:
        for row in rows:
            groups[f"{row}"] = Runs(folder / f"large-{len(groups)}", large(row, photos, chosen), 1, cache)
        steps = [gpu.Way(row, chosen, max(2, (os.cpu_count() or 1) // 4)) for row in rows]
        for way in chosen.eight:
            for name, count, more in (("one", 1, {}), ("many", chosen.count, {}), ("shared", chosen.count, service)):
                if name != "shared" or service:
                    place = folder / f"small-{len(groups)}"
                    groups[f"{way} {name}"] = Runs(place, small(way, count, photos, chosen), count, cache | more)
        until, starting = time.monotonic() + chosen.limit_s, list(groups.values())
        while starting and time.monotonic() < until:
            starting = [runs for runs in starting if not runs.halt_when_all_train()]
            time.sleep(0.1)
        warm = [way.told(until) is not None for way in steps]
        if rows:
            print("\n| model | way | run on photos [images/s] | step of a fixed batch [images/s] | run over step |")
            print("|---|---|---|---|---|", flush=True)
        for row, way, ready in zip(rows, steps, warm, strict=True):
            show_large(row, measured(groups[f"{row}"], chosen.measure_s), way, ready)
        if chosen.eight:
            print(
                f"\n{chosen.small}, 8 of 128x128, {chosen.count} runs at once against one; service: {service or None}\n"
            )
            print("| way | sharing | one [images/s] | at once, together | times one | slowest to fastest |")
            print("|---|---|---|---|---|---|", flush=True)
        for way in chosen.eight:
            one = measured(groups[f"{way} one"], chosen.measure_s)
            show_small(way, "turns", one, measured(groups[f"{way} many"], chosen.measure_s))
            if service:
                show_small(way, "MPS", one, measured(groups[f"{way} shared"], chosen.measure_s))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--eight", nargs="*", default=[], metavar="WAY")
    parser.add_argument("--alone", nargs="*", default=[], metavar="ROW")
    parser.add_argument("--small", default="dhic_tiny", metavar="MODEL", help="the small model")
    parser.add_argument("--count", type=int, default=8, help="of small runs at once")
    parser.add_argument("--mps", action="store_true")
    parser.add_argument("--precision", choices=["float32", "bf16", "fp16"], default="bf16", help="of --alone")
    parser.add_argument("--workers", type=int, default=8, help="of --alone")
    parser.add_argument("--log-every", type=int, default=20, help="of --alone")
    parser.add_argument(
        "--more", nargs="*", default=[], metavar="OVERRIDE", help="of --alone, as trainer.ema_decay=0.9"
    )
    parser.add_argument("--photos", type=int, default=64)
    parser.add_argument("--limit-s", type=float, default=120, help="after which what does not train is given up")
    parser.add_argument("--measure-s", type=float, default=25, help="after which what is too slow is given up")
    parser.add_argument("--device", default="cuda")
    chosen = parser.parse_args(arguments, argparse.Namespace(released=None))
    named = gpu.device_name(chosen.device)
    if not named:
        print("there is no CUDA device here, so nothing is measured")
        return 0
    print(f"{named}; {machine()}")
    began, folder = time.monotonic(), Path(tempfile.mkdtemp())
    groups: dict[str, Runs] = {}
    try:
        tables(chosen, folder, groups)
    finally:
        for runs in groups.values():
            runs.end()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"\n{time.monotonic() - began:.0f} s in all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
