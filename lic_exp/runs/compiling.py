"""What `trainer.compile` becomes on a device: `auto` by what was measured there; what it cannot do is refused."""

import torch

from lic_exp.config.errors import ConfigError
from lic_exp.config.schema import RunConfig

MEASURED: dict[tuple[str, str], bool | str] = {
    ("NVIDIA H200", "hpcm"): "graphs",
    ("NVIDIA H200", "hpcm128"): "graphs",
    ("NVIDIA H200", "dhic"): "graphs",
}
"""{(beginning of the device's name, the model's name in signatures): what was fastest there}; LOG.md, 2026-11-27. What
nobody has measured is not compiled. No CPU is here: compiling takes longer than what short runs there save."""


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
