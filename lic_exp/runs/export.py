"""A run's codec as a plain file of weights."""

from dataclasses import dataclass
from pathlib import Path

from lic_exp.config.errors import ConfigError
from lic_exp.config.instantiation import with_message
from lic_exp.config.loading import with_values
from lic_exp.files.identity import CodecIdentity, identity
from lic_exp.models.base import Codec
from lic_exp.models.coding_error import CodingError
from lic_exp.models.files import CheckpointError
from lic_exp.models.weights import export_halved, export_weights, halve, load_fitting
from lic_exp.runs.build import build_codec
from lic_exp.runs.one_at_a_time import one_at_a_time
from lic_exp.runs.run import Run
from lic_exp.training.checkpoint import Checkpoints
from lic_exp.training.ema import EMA


@dataclass(frozen=True)
class Exported:
    """What a file of weights holds. step: of the training. identity: by which .lic files name the codec."""

    step: int
    identity: CodecIdentity


def export_run(run: Run, out: Path, *, last: bool, halved: bool = False) -> Exported:
    """Write the weights that `export_codec` finds to `out`, with entropy tables. halved: as float16, without them.

    Raises ConfigError where there are none yet, where they do not fit float16, and where the file cannot be written.
    """
    codec, step = export_codec(run, last=last)
    if halved:
        with_message("--dtype=float16", halve, codec)
    try:
        (export_halved if halved else export_weights)(codec, out)
    except CodingError as error:
        raise ConfigError([f"run {run.signature} cannot be exported: {error}"]) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError([f"--out={out} cannot be written: {reason}"]) from error
    return Exported(step, identity(codec))


@one_at_a_time("loads a codec", nested=True, long=False)
def export_codec(run: Run, *, last: bool) -> tuple[Codec, int]:
    """The run's codec on the CPU and the step that its weights are of. Raises ConfigError where there are none yet.

    last: the last step checkpoint's weights, of the kind that `trainer.eval_weights` names; else the best ones.
    """
    checkpoints = Checkpoints(run.files.checkpoints, run.signature)
    config = run.config
    try:
        state = checkpoints.load_newest() if last else checkpoints.load_best()
    except CheckpointError as error:
        raise ConfigError([f"{error} (run {run.signature} is {run.state})"]) from error
    if state is None:
        raise ConfigError([f"run {run.signature} is {run.state} and has no step checkpoint"])
    codec = build_codec(with_values(config, {"model.weights": None, "model.freeze": []}))
    if last and config.trainer.eval_weights == "ema" and config.trainer.ema_decay is not None:
        average = EMA(codec, config.trainer.ema_decay)
        average.load_state_dict(state["ema"])
        codec = average.codec
    else:
        try:
            load_fitting(codec, state["codec"], checkpoints.folder)
        except CheckpointError as error:
            raise ConfigError([str(error)]) from error
    if last:  # the best ones were kept so
        codec.load_state_dict(codec.weights_for_coding())
    return codec.eval(), state["step"]
