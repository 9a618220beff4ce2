"""Encoding and decoding of an image on a CPU: this checkout against another one, and what of both is the coder's.

    git worktree add /tmp/before COMMIT
    python benchmarks/coding.py --before /tmp/before

Prints Markdown. Each checkout codes in a process of its own, in turns, an order that changes from block to block; the
ratios of CPU seconds are formed within a block, and their median is reported with a bootstrap 95 % interval. The
weights are of a seed, so that both write the same strings, which is checked. The coder's part is all between tensors
and bytes: what is done to symbols and table rows, tables, rANS, and the check of what was decoded. Wall seconds are
given for several threads of torch's. At last 24 images at once against one after another, by this checkout.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from measuring import machine, median_interval

MODELS = ["dhic_tiny", "hpcm_tiny", "mean_scale_hyperprior_tiny", "hpcm_base"]
HERE = Path(__file__).parents[1]
KINDS = ("encode", "decode")


class Worker:
    """A process that codes by the package of one checkout."""

    def __init__(self, checkout: Path, model: str, threads: int, size: list[int]) -> None:
        command = [sys.executable, "-W", "ignore", __file__, "--worker", model, "--threads", str(threads), "--size"]
        environment = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": str(threads)}
        self.process = subprocess.Popen(
            [*command, *map(str, size)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
            cwd=checkout,
        )

    def ask(self, what: str = "code") -> dict[str, Any]:
        assert self.process.stdin
        assert self.process.stdout
        print(what, file=self.process.stdin, flush=True)
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found

    def end(self) -> None:
        self.process.communicate()


def work(options: argparse.Namespace) -> None:
    """Answer every line of standard input by the seconds of one encoding and decoding."""
    import torch
    import torch.nn.functional as F

    import lic_exp

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    codec = lic_exp.create_model(options.worker).eval()
    if options.worker.startswith("hpcm"):  # or nearly all symbols were 0
        with torch.no_grad():
            codec.g_a.branch[0].weight.mul_(10)
    codec.update()
    height, width = options.size
    coarse = F.interpolate(torch.rand(1, 3, height // 16, width // 16), scale_factor=16, mode="bilinear")
    x = (coarse + 0.02 * torch.randn(1, 3, height, width)).clamp(0, 1)
    spent = listen()
    told = {"quality": 20.0} if codec.facts.variable_rate else {}
    for line in sys.stdin:
        if line.strip() == "batch":
            print(json.dumps(batches(codec, told)), flush=True)
            continue
        found: dict[str, Any] = {}
        for kind in KINDS:
            spent.clear()
            begun, wall = time.process_time(), time.perf_counter()
            if kind == "encode":
                compressed = codec.compress(x, **told)
            else:
                picture = codec.decompress(compressed)
            found[kind] = time.process_time() - begun
            found[f"{kind} wall"], found[f"{kind} coder"] = time.perf_counter() - wall, sum(spent)
        found["bytes"] = sum(len(kind[0]) for kind in compressed.strings)
        strings = b"".join(kind[0] for kind in compressed.strings)
        found["digest"] = hashlib.sha256(strings + picture.numpy().tobytes()).hexdigest()
        print(json.dumps(found), flush=True)


def batches(codec: Any, told: dict[str, float]) -> dict[str, float]:
    """CPU seconds of coding 24 images at once and one after another."""
    import torch

    x = torch.rand(24, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    begun = time.process_time()
    codec.decompress(codec.compress(x, **told))
    between = time.process_time()
    for image in x.split(1):
        codec.decompress(codec.compress(image, **told))
    return {"at once": between - begun, "in turn": time.process_time() - between}


def listen() -> list[float]:
    """A list to which every outermost call of the coder adds its CPU seconds."""
    from compressai.entropy_models import EntropyModel

    from lic_exp.models import compressai_coding as coding
    from lic_exp.models.dhic import likelihood
    from lic_exp.models.hpcm import codec
    from lic_exp.models.hpcm import coding as steps

    spent: list[float] = []
    inside = []

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **options: Any) -> Any:
            inside.append(function)
            begun = time.process_time()
            try:
                return function(*arguments, **options)
            finally:
                inside.pop()
                if not inside:
                    spent.append(time.process_time() - begun)

        return called

    for name in ("encode", "decode"):
        own = timed(getattr(coding, name))
        for module in (coding, likelihood, steps, codec):
            if hasattr(module, name):
                setattr(module, name, own)
    for name in ("__init__", "decode", "check"):
        setattr(coding.StepwiseDecoder, name, timed(getattr(coding.StepwiseDecoder, name)))
    models = sys.modules.get("lic_exp.models.compressai_entropy")
    for kind in (EntropyModel, getattr(models, "CodedAsArrays", EntropyModel)):
        for name in ("compress", "decompress"):
            if name in vars(kind):
                setattr(kind, name, timed(getattr(kind, name)))
    return spent


def compared(options: argparse.Namespace, model: str) -> None:
    checkouts = {"before": options.before, "now": HERE}
    workers = {name: Worker(path, model, options.threads, options.size) for name, path in checkouts.items()}
    digests = {name: worker.ask()["digest"] for name, worker in workers.items()}
    assert len(set(digests.values())) == 1, "the two checkouts write different strings"
    rounds: list[dict[str, dict[str, Any]]] = []
    for block in range(options.pairs):
        order = list(workers) if block % 2 else list(reversed(workers))
        rounds.append({name: workers[name].ask() for name in order})
    for worker in workers.values():
        worker.end()
    for kind in KINDS:
        cells = [model, kind]
        for what in (kind, f"{kind} coder", f"{kind} wall"):
            before, now = (np.array([one[name][what] for one in rounds]) for name in ("before", "now"))
            ratio, low, high = median_interval(before / now)
            cells += [f"{1e3 * np.median(before):.1f}", f"{1e3 * np.median(now):.1f}"]
            cells += [f"**{ratio:.2f}x** ({low:.2f} to {high:.2f})"]
        print("| " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="another checkout; without it only the images at once are timed")
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--pairs", type=int, default=9, help="blocks (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="torch threads (default: %(default)s)")
    parser.add_argument("--size", type=int, nargs=2, default=[512, 768], metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options)
        return
    print(f"{machine()}, {options.threads} threads, {options.pairs} blocks\n")
    if options.before:
        whole, coder = "CPU before [ms] | now | before / now", "coder's CPU before [ms] | now | before / now"
        print(f"| model | what | {whole} | {coder} | wall before [ms] | now | before / now |\n|{'---|' * 11}")
        for model in options.models:
            compared(options, model)
    print("\n| model | 24 images of 256x256, at once / one after another, CPU | 95 % interval |\n|---|---|---|")
    for model in options.models:
        if model.endswith("_tiny"):
            worker = Worker(HERE, model, options.threads, [256, 256])
            found = [worker.ask("batch") for _ in range(options.pairs)]
            worker.end()
            ratio, low, high = median_interval(np.array([one["at once"] / one["in turn"] for one in found]))
            print(f"| `{model}` | {ratio:.2f}x | {low:.2f} to {high:.2f} |", flush=True)


if __name__ == "__main__":
    main()
