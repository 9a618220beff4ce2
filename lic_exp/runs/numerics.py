"""What `device=auto` and `threads=null` became, with all else that decides a training's bits: recorded, and kept to.

A run that goes on has the bits that it would have had undisturbed only where it is computed as before. Its number of
threads is set again; any other difference is refused, unless it is asked for.
"""

import logging
import math
from collections.abc import Sequence

import torch
from rich.console import Console

from lic_exp.config.errors import ConfigError
from lic_exp.config.schema import RunConfig
from lic_exp.ops.precision import switches
from lic_exp.ops.ranks import world
from lic_exp.random_streams import RANDOM_STREAMS
from lic_exp.runs.compiling import channels_last_as, compiled_as, device_name
from lic_exp.runs.recovery import goes_on
from lic_exp.tracking.kinds import Numerics
from lic_exp.tracking.numerics import changes, different, gone_on, in_force
from lic_exp.tracking.run_folder import RunFolder, step_checkpoints, step_of

log = logging.getLogger("lic_exp.runs")

LAST = "channels_last"
"""A memory format, and the key of `trainer` that chooses it."""


def numerics(config: RunConfig, device: torch.device, step: int = 0) -> Numerics:
    """The record of a training that begins, or goes on after so many steps, in this process as it is now."""
    how = compiled_as(config, device)
    found: Numerics = {
        "from_step": step,
        "device": device.type,
        "device_name": device_name(device),
        "threads": torch.get_num_threads(),
        "precision": config.trainer.precision,
        "memory_format": LAST if channels_last_as(config, device, how) else "contiguous",
        "compile": how,
        "torch": str(torch.__version__),
        "world_size": world(),
        "random_streams": RANDOM_STREAMS,
    }
    if device.type == "cuda":
        found |= {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
    else:
        found |= {"instructions": torch.backends.cpu.get_cpu_capability()}
    return found | switches(device.type)  # type: ignore[return-value]


def keep_to_record(config: RunConfig, run: RunFolder, device: torch.device) -> None:
    """Set the number of threads: the recorded one where a training goes on, a parent's too.

    Raises ConfigError where anything else is not as on record and `trainer.resume_elsewhere` does not allow it.
    """
    own = config.trainer.threads or torch.get_num_threads()
    torch.set_num_threads(own)
    origin = gone_on_from(config, run)
    before = _in_force(config, run, origin) if origin else None
    if before is None:
        return
    if (threads := before.get("threads", own)) != own:
        torch.set_num_threads(threads)
        log.info("%d CPU threads, as on record, where this process would have %d: sums depend on it", threads, own)
    found = different(before, _going_on(config, before, numerics(config, device)))
    if found and not config.trainer.resume_elsewhere:
        raise ConfigError([_refusal(run, "it was" if origin is run else "its parent was", found)])


def compiled_on_record(config: RunConfig, run: RunFolder, device: torch.device) -> bool | str:
    """`compiled_as`, but as on record where a training goes on and the config leaves it open.

    Full where steps that were to be recorded could not be before: then they are not now.
    """
    return _to_come(config, run, device)["compile"]


def channels_last_on_record(config: RunConfig, run: RunFolder, device: torch.device) -> bool:
    """`channels_last_as`, but as on record where a training goes on and the config leaves it open."""
    return _to_come(config, run, device)["memory_format"] == LAST


def _to_come(config: RunConfig, run: RunFolder, device: torch.device) -> Numerics:
    """The record of the steps that a run makes next."""
    origin = gone_on_from(config, run)
    before = _in_force(config, run, origin) if origin else None
    return _going_on(config, before, numerics(config, device))


def without_graphs(history: Sequence[Numerics], step: int) -> list[Numerics]:
    """The history of a training whose steps cannot be recorded from this one on."""
    return gone_on(history, step, {**history[-1], "compile": True})


def _going_on(config: RunConfig, before: Numerics | None, now: Numerics) -> Numerics:
    """The record `now`, as `before` in what the config leaves open: an extension is longer, and measurements change."""
    if before is None:
        return now
    here = before.get("device_name") == now["device_name"]
    if "compile" in before:
        failed = before["compile"] is True and now["compile"] == "graphs"
        if failed or (here and config.trainer.compile == "auto"):
            now = {**now, "compile": before["compile"]}
    if "memory_format" in before and here and config.trainer.channels_last == "auto":
        now = {**now, "memory_format": before["memory_format"]}
    return now


def _in_force(config: RunConfig, run: RunFolder, origin: RunFolder) -> Numerics | None:
    """The record to keep to; None where there is none, or no step left to be made."""
    step = step_of(step_checkpoints(origin.checkpoints)[-1])
    if origin is not run and config.parent_step is not None:
        step = config.parent_step  # the trunk may have gone on elsewhere after it
    status = origin.status_if_whole()
    if origin is run and step >= (status.get("max_steps") or math.inf):
        return None
    return in_force(status.get("numerics", []), step)


def _refusal(run: RunFolder, whose: str, found: Sequence[str]) -> str:
    return (
        f"run {run.signature} would go on otherwise than {whose} trained, with bits that are neither's: "
        f"{'; '.join(found)}. Go on where that is as it was; or here with trainer.resume_elsewhere=true, and the run "
        "says from which step on; or begin it anew with trainer.resume=never"
    )


def gone_on_from(config: RunConfig, run: RunFolder) -> RunFolder | None:
    """The run one of whose checkpoints a training goes on from: itself, its parent, or None where it begins."""
    if goes_on(config, run):
        return run
    parent = RunFolder(run.root.parent / config.parent) if config.parent else None
    return parent if parent and step_checkpoints(parent.checkpoints) else None


def history_of(
    config: RunConfig, origin: RunFolder | None, device: torch.device, step: int, console: Console
) -> list[Numerics]:
    """The records of a training that goes on from `origin` after so many steps, for its status.json.

    Says it where this attempt makes them more than one, or those of the steps before are not known.
    """
    before: list[Numerics] = origin.status_if_whole().get("numerics", []) if origin else []
    history = gone_on(before, step, _going_on(config, in_force(before, step), numerics(config, device, step)))
    if history[-1]["from_step"] == step > 0:
        (said,) = changes(history)[-1:]
        log.warning(said)
        console.print(f"warning: {said}", markup=False, highlight=False, soft_wrap=True)
    return history
