"""What `trainer.compile` becomes on a device: `auto` by what was measured there; what it cannot do is refused."""

import torch

from lic_exp.config.errors import ConfigError
from lic_exp.config.schema import RunConfig

MEASURED: dict[tuple[str, str], bool | str] = {}
"""{(beginning of the device's name, the model's name in signatures): what was fastest there, by benchmarks/gpu.py}.

What nobody has measured is not compiled, and the step as it is now has run on no GPU yet; LOG.md of 2026-11-27 has
figures of a prototype on an H200. No CPU belongs here: compiling takes longer than what short runs there save.
"""


def compiled_as(config: RunConfig, device: torch.device) -> bool | str:
    """False (off), True (full), "blocks" or "graphs". Raises ConfigError for what this device cannot do."""
    how = config.trainer.compile
    if how == "auto":
        return _measured(config, device)
    if how == "graphs" and device.type != "cuda":
        raise ConfigError(
            [
                f"trainer.compile=graphs: a step is captured as a CUDA graph, and this run trains on {device.type}; "
                "full, blocks or off work here, and auto takes what the device can do"
            ]
        )
    return how


def _measured(config: RunConfig, device: torch.device) -> bool | str:
    model = config.model.component
    if device.type != "cuda" or model is None:
        return False
    name = torch.cuda.get_device_name(device)
    fits = (how for (kind, code), how in MEASURED.items() if name.startswith(kind) and code == model.schema.code_name)
    return next(fits, False)
