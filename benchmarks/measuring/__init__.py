"""What the benchmarks share: the machine in a line, and ratios over interleaved blocks. Imports no torch."""

import datetime
import os
import platform
from pathlib import Path

import numpy as np


def machine() -> str:
    """Processor, cores and today's date, for the head of a table."""
    return f"{cpu_model()}, {os.cpu_count()} cores, Python {platform.python_version()}, {datetime.date.today()}"


def cpu_model() -> str:
    """The processor's name, as the system gives it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def bundled_photos() -> list[Path]:
    """Two photographs that installed packages carry, where a benchmark is given no others."""
    from lic_exp.data.sources import Bundled

    return [image.path for image in Bundled().val()]


def median_interval(values: np.ndarray) -> tuple[float, float, float]:
    """The median of values (n,) and its bootstrap 95 % interval."""
    resampled = np.median(np.random.default_rng(0).choice(values, (2000, len(values))), axis=1)
    low, high = np.quantile(resampled, (0.025, 0.975))
    return float(np.median(values)), float(low), float(high)
