"""What the last bits of what a CPU computes hang on."""

import torch

from lic_exp.runs.compiling import device_name


def kind_of_machine() -> list[str]:
    """The processor, what torch makes of it, and torch itself."""
    return [device_name(torch.device("cpu")), torch.backends.cpu.get_cpu_capability(), torch.__version__]
