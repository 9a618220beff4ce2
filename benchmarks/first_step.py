"""From `python launch.py` to the first step of a training, against importing torch and the model alone.

    python benchmarks/first_step.py --blocks 10

Prints a Markdown table. Every block starts each model's two processes once, in an order that rotates. What follows the
imports (config, images, model, optimizer, run folder, the first step itself, its numbers in metrics.jsonl) is the
difference within a block, of CPU seconds and of wall time; its median is reported with a bootstrap 95 % interval.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from measuring import machine, median_interval

LAUNCH = Path(__file__).resolve().parent.parent / "launch.py"
MODELS = {
    "dhic_tiny": ("lic_exp.models.dhic.codec", ["criterion=variable_rate"]),
    "hpcm_tiny": ("lic_exp.models.hpcm.codec", ["criterion=mse"]),
    "mean_scale_hyperprior_tiny": ("lic_exp.models.compressai_zoo", ["criterion=mse"]),
}
"""By model its module, and what a run of it is asked for."""

SHORT = [
    *(
        "trainer.max_steps=1",
        "trainer.log_every_steps=1",
        "trainer.threads=1",
        "data.batch_size=2",
        "data.crop_size=128",
    ),
    *("data.val_limit=1", "evaluation.enabled=false", "tracker=none"),
]

IMPORTS = "import importlib, json, time; import torch; importlib.import_module({module!r})\n"
TOLD = "json.dump([time.process_time(), time.time()], open({told!r}, 'w'))\n"
LAUNCHED = """
import json, runpy, sys, time
from lic_exp.tracking.base import MetricsWriter
written = MetricsWriter.write
def write(*arguments, **options):
    written(*arguments, **options)
    MetricsWriter.write = written
    {told}
MetricsWriter.write = write
sys.argv = {arguments!r}
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def start(name: str, launched: bool, folder: Path) -> tuple[float, float]:
    """CPU and wall seconds until the imports, or until the first step is logged."""
    module, asked = MODELS[name]
    told = TOLD.format(told=str(folder / "told.json"))
    arguments = [str(LAUNCH), f"model={name}", *asked, *SHORT, f"paths.runs={folder / 'runs'}"]
    program = LAUNCHED.format(told=told, arguments=arguments) if launched else IMPORTS.format(module=module) + told
    begun = time.time()
    subprocess.run([sys.executable, "-c", program], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    cpu_s, at = json.loads((folder / "told.json").read_text())
    return cpu_s, at - begun


def measure(names: list[str], blocks: int) -> np.ndarray:
    """Seconds (blocks, models, 2, 2): imports alone and launched, CPU and wall; an unmeasured block comes first."""
    seconds = np.empty((blocks + 1, len(names), 2, 2))
    for block in range(blocks + 1):
        for turn in range(2 * len(names)):
            row, launched = divmod((block + turn) % (2 * len(names)), 2)
            with tempfile.TemporaryDirectory() as folder:
                seconds[block, row, launched] = start(names[row], bool(launched), Path(folder))
    return seconds[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--blocks", type=int, default=10, help="interleaved blocks (default: %(default)s)")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    seconds = measure(options.models, options.blocks)

    print(f"{machine()}; {options.blocks} blocks\n")
    print("| model | imports, CPU [s] | first step, CPU [s] | beyond the imports, CPU [s] | 95 % interval | wall [s] |")
    print("|---|---|---|---|---|---|")
    for name, taken in zip(options.models, np.moveaxis(seconds, 0, -1), strict=True):
        imports, stepped = np.median(taken[:, 0], axis=-1)
        more, low, high = median_interval(taken[1, 0] - taken[0, 0])
        wall_s = np.median(taken[1, 1] - taken[0, 1])
        print(f"| {name} | {imports:.2f} | {stepped:.2f} | {more:.2f} | {low:.2f} to {high:.2f} | {wall_s:.2f} |")


if __name__ == "__main__":
    main()
