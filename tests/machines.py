"""What the last bits of what a CPU computes hang on."""

from pathlib import Path

import torch


def kind_of_machine() -> list[str]:
    """The processor, what torch makes of it, and torch itself."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return [*names[:1], torch.backends.cpu.get_cpu_capability(), torch.__version__]
