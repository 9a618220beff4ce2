"""What `trainer.compile` and `channels_last` become on a device: `auto` by what was measured there."""

import os
import platform
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from lic_exp.config.errors import ConfigError
from lic_exp.config.loading import faults_with
from lic_exp.config.reach import last_step
from lic_exp.config.schema import RunConfig
from lic_exp.config.signing import steps_per_epoch
from lic_exp.private_compiler import compiler_failure

CPU_FACTS = Path("/proc/cpuinfo")
COMPILERS = ("g++", "clang++")

PAYS = 3
"""How many times the seconds of starting a run must save for `auto` to take a way: machines differ, and so do steps."""


@dataclass(frozen=True)
class Measured:
    """A way of training that was measured to pay, by the scripts of benchmarks/.

    device: beginning of the device's name. model: its name in signatures. options: those of its options that tell its
    size, as they were. precision: as `trainer.precision`. way, memory_format: what was fastest. start_s: seconds until
    its first step was made, beyond those without. saved_ms: of every step over `pixels` pixels.
    """

    device: str
    model: str
    options: Mapping[str, Any]
    precision: str
    way: bool | str
    memory_format: Literal["contiguous", "channels_last"]
    start_s: float
    saved_ms: float
    pixels: int

    def fits(self, config: RunConfig, device: torch.device) -> bool:
        """Whether this is what the run trains, and where."""
        model = config.model.component
        return (
            model is not None
            and model.schema.code_name == self.model
            and config.trainer.precision == self.precision
            and all(model.options[name] == value for name, value in self.options.items())
            and device_name(device).startswith(self.device)
        )

    def pays(self, config: RunConfig) -> bool:
        """Whether the run is long enough. Steps over fewer pixels save less, and of larger ones no more is known."""
        saved_ms = 0.0
        for stage in config.stage_configs:
            share = stage.data.batch_size * stage.data.crop_size**2 / self.pixels
            saved_ms += last_step(stage, steps_per_epoch(stage.data)) * min(1.0, share) * self.saved_ms
        return saved_ms >= 1e3 * PAYS * self.start_s


MEASURED: tuple[Measured, ...] = (
    Measured(
        device="NVIDIA H200",
        model="hpcm",
        options={"M": 320, "N": 256, "widths": [96, 192, 384], "analysis_depths": [2, 2, 4, 0]},
        precision="bf16",
        way="graphs",
        memory_format="channels_last",
        start_s=190.0,
        saved_ms=86.0,
        pixels=16 * 256**2,
    ),
    Measured(
        device="NVIDIA H100",
        model="dhic",
        options={"widths": [224, 288, 288, 416], "latent_channels": [320, 256, 128, 64]},
        precision="bf16",
        way="graphs",
        memory_format="channels_last",
        start_s=159.0,
        saved_ms=198.0,
        pixels=16 * 256**2,
    ),
    Measured(
        device="NVIDIA H200",
        model="dhic",
        options={"widths": [40, 40, 40, 48], "latent_channels": [24, 24, 24, 32]},
        precision="bf16",
        way="graphs",
        memory_format="contiguous",
        start_s=124.0,
        saved_ms=61.0,
        pixels=8 * 128**2,
    ),
    # Starting was measured at a load of 9 on two cores, so that it takes less elsewhere; 22 500 steps pay for it.
    Measured(
        device="AMD EPYC",
        model="dhic",
        options={"widths": [40, 40, 40, 48], "latent_channels": [24, 24, 24, 32]},
        precision="float32",
        way=True,
        memory_format="contiguous",
        start_s=262.0,
        saved_ms=35.0,
        pixels=8 * 128**2,
    ),
)
"""What pays, the best first; what nobody has measured is trained as it is written.

The figures stand in benchmarks/RESULTS.md, "Training steps on a GPU" and "The small DHIC's step", with what they leave
open. Those of a CPU are of one thread; more save less of a step.
"""


def compiled_as(config: RunConfig, device: torch.device) -> bool | str:
    """False (off), True (full), "blocks" or "graphs". Raises ConfigError for what this device cannot do."""
    how = config.trainer.compile
    if how == "auto":
        found = measured(config, device)
        way = found.way if found else False
        return True if way == "graphs" and config.trainer.ranks > 1 else way
    if how == "graphs" and device.type != "cuda":
        raise ConfigError(
            [
                f"trainer.compile=graphs: a step is captured as a CUDA graph, and this run trains on {device.type}; "
                "full, blocks or off work here, and auto takes what the device can do"
            ]
        )
    return how


@contextmanager
def said_in_one_message(config: RunConfig) -> Iterator[None]:
    """Inside, what torch's compiler cannot make code of on this machine is a ConfigError, whatever it wrote of it."""
    try:
        yield
    except Exception as error:
        said = compiler_failure(error)
        if said is None:
            raise
        chosen = config.trainer
        narrow = "" if chosen.precision == "float32" else ", and trainer.precision=float32 may compile"
        raise ConfigError(
            [
                f"trainer.compile={_as_written(chosen.compile)}: with trainer.precision={chosen.precision} torch's "
                f"compiler makes no code of this model here ({said}): trainer.compile=off trains without{narrow}"
            ]
        ) from error


def _as_written(how: bool | str) -> str:
    return ("full" if how else "off") if isinstance(how, bool) else how


def channels_last_as(config: RunConfig, device: torch.device, how: bool | str) -> bool:
    """Whether channels come last in memory in a run that is compiled so; `auto`: where that was measured to pay."""
    asked = config.trainer.channels_last
    if isinstance(asked, bool):
        return asked
    fitting = (one for one in MEASURED if one.fits(config, device) and one.way == how)
    found = next(fitting, None)
    return found is not None and found.memory_format == "channels_last"


def measured(config: RunConfig, device: torch.device) -> Measured | None:
    """What pays for this run on this device; None where nothing is known to, or nothing that its parts allow."""
    fitting = (one for one in MEASURED if one.fits(config, device) and has_compiler())
    # Refused is what the run could not be asked for: a regularizer may have to see what a graph hides.
    allowed = (one for one in fitting if one.pays(config) and not faults_with(config, {"trainer.compile": one.way}))
    return next(allowed, None)


def has_compiler() -> bool:
    """Whether there is what torch compiles with: a C++ compiler. What a GPU needs beside it, torch brings."""
    return any(name and shutil.which(name) for name in (os.environ.get("CXX"), *COMPILERS))


def device_name(device: torch.device) -> str:
    """As the system calls it; of a CPU that it does not name, the kind of machine."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    facts = CPU_FACTS.read_text(errors="replace") if CPU_FACTS.exists() else ""
    named = re.search(r"^model name\s*: *(\S.*)$", facts, re.MULTILINE)
    return named[1].strip() if named else platform.machine()
