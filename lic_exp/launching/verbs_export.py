"""`export`: a run's codec weights as a plain file."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lic_exp.launching.errors import ConfigError
from lic_exp.launching.verbs import add_run, size_text

if TYPE_CHECKING:
    from lic_exp.launching.run import Run
    from lic_exp.launching.verbs import Verbs
    from lic_exp.models.base import Codec


def add_parser(verbs: "Verbs") -> None:
    parser = verbs.add_parser(
        "export",
        help="write a run's codec weights to a plain file",
        description="Write the codec's state dict with its entropy tables, as `model.weights=FILE` and CompressAI's "
        "load_state_dict read it. Nothing that only training needs is in it.",
    )
    add_run(parser)
    parser.add_argument("--out", metavar="FILE", help="default: export/best.pth (or last.pth) in the run folder")
    parser.add_argument(
        "--last", action="store_true", help="of the last step checkpoint, instead of the best by val/rd_loss"
    )
    parser.set_defaults(verb=_export)


def _export(options: argparse.Namespace) -> int:
    from lic_exp.launching.run import find_run

    run = find_run(options.run, options.runs)
    which = "last" if options.last else "best"
    out = Path(options.out) if options.out else run.folder / "export" / f"{which}.pth"
    if out.is_dir():
        raise ConfigError([f"--out={out} is a folder; name a file"])
    if run.state != "done":
        print(f"run {run.signature} is {run.state}, not done: these are its {which} weights so far")
    from lic_exp.models.weights import export_weights

    codec, step = export_codec(run, last=options.last)
    try:
        export_weights(codec, out)
    except OSError as error:
        raise ConfigError([f"--out={out} cannot be written: {error.strerror or error}"]) from error
    print(f"{out}  {which} weights of run {run.signature}, step {step}, {size_text(out.stat().st_size)}")
    print(f"to start from them: model.weights={out}")
    return 0


def export_codec(run: "Run", *, last: bool) -> tuple["Codec", int]:
    """The run's codec on the CPU and the step that its weights are of. Raises ConfigError where there are none yet.

    last: the last step checkpoint's weights, of the kind that `trainer.judged_weights` names; else the best ones.
    """
    from lic_exp.launching import build
    from lic_exp.models.files import CheckpointError
    from lic_exp.training.checkpoint import Checkpoints, load_checkpoint

    checkpoints = Checkpoints(run.files.checkpoints, run.signature)
    config = run.config
    try:
        state = checkpoints.load_newest() if last else load_checkpoint(checkpoints.best)
    except CheckpointError as error:
        raise ConfigError([f"{error} (run {run.signature} is {run.state})"]) from error
    if state is None:
        raise ConfigError([f"run {run.signature} is {run.state} and has no step checkpoint"])
    codec = build.build_codec({**config, "model": {**config["model"], "weights": None, "freeze": []}})
    if last and config["trainer"]["judged_weights"] == "ema":
        from lic_exp.training.ema import EMA

        average = EMA(codec, config["trainer"]["ema_decay"])
        average.load_state_dict(state["ema"])
        codec = average.codec
    else:
        codec.load_state_dict(state["codec"])
    return codec.eval(), state["step"]
