"""The platform from Python: the same names, checks and results as on the command line."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lic_exp.config.loading import load_config as load
from lic_exp.config.loading import load_part, texts, with_values
from lic_exp.config.loading import load_pretrained as pretrained
from lic_exp.config.options import options
from lic_exp.config.overrides import quoted
from lic_exp.config.schema import RunConfig
from lic_exp.runs.listing import RunSummary, summaries
from lic_exp.runs.run import find_run as found_run
from lic_exp.sweeps.trainings import one_training

if TYPE_CHECKING:
    import pandas as pd

    from lic_exp.evaluation.complexity import Complexity
    from lic_exp.files.coding import Form
    from lic_exp.models.base import Codec
    from lic_exp.runs.coding import CodingRun
    from lic_exp.spectral_reg.base import SpectralRegularizer
    from lic_exp.sweeps.sweep import Sweep


def load_config(overrides: Sequence[str] = ()) -> RunConfig:
    """The config of the one run that `python launch.py OVERRIDES` would start: validated, typed, read-only.

    `config.trainer.max_steps` and the like are typed; `config.model.options["N"]` are a component's options;
    `config.plain()` is the YAML form. Raises ConfigError, all messages at once.
    """
    return load(one_training(texts(overrides)).overrides)


def signature(overrides: Sequence[str] = ()) -> str:
    """The name of the run that `python launch.py OVERRIDES` would start: 16 hexadecimal digits. Raises ConfigError."""
    return load_config(overrides).signature


def list_models(plugins: Sequence[str] = ()) -> list[str]:
    """The names that `create_model` and `model=` accept, those of `plugins` included."""
    return options("model", texts(plugins, "plugins"))


def list_regularizers(plugins: Sequence[str] = ()) -> list[str]:
    """The names that `create_regularizer` and `spectral_reg=` accept, those of `plugins` included."""
    return options("spectral_reg", texts(plugins, "plugins"))


def create_model(name: str, *, plugins: Sequence[str] = (), seed: int = 0, **overrides: Any) -> "Codec":
    """The codec that `model=name` with these options builds, weights included; in train mode, on the CPU.

    The caller's random states stay as they are. Raises ConfigError, with the nearest valid names, for a name or option
    that there is not, and RunBusyError while a run trains in another thread.
    """
    config = with_values(load_part("model", name, plugins=plugins, options=overrides), {"seed": seed})
    from lic_exp.runs.build import build_codec
    from lic_exp.runs.one_at_a_time import one_at_a_time

    with one_at_a_time("makes a model", nested=True, long=False):
        return build_codec(config)


def load_pretrained(name: str, device: str = "cpu") -> "Codec":
    """The codec of this name that comes with the package, in eval mode, ready to code: `load_pretrained("box")`.

    device: as `trainer.device`. `python -m lic_exp pretrained` lists what there is. Raises ConfigError for another name
    and where its weights are not those that were shipped, and RunBusyError while a run trains in another thread.
    """
    config = pretrained(name)
    from lic_exp.runs.coding import CodecChoice

    return CodecChoice(config, device).load()


def complexity(
    name: str, *, size: tuple[int, int] | None = None, plugins: Sequence[str] = (), **overrides: Any
) -> "Complexity":
    """Parameters and MACs, part by part, of the codec that `model=name` with these options builds.

    size: (height, width) of the image that is counted on; None: 256x256, or the next size that the codec takes. Of a
    codec that is there already: `lic_exp.evaluation.complexity.complexity`. Raises ConfigError, as `create_model`.
    """
    config = load_part("model", name, plugins=plugins, options=overrides)
    from lic_exp.runs.complexity import complexity_of

    return complexity_of(config, size)


def encode_image(
    image: Any,
    codec: "Codec",
    *,
    quality: float | None = None,
    target_bpp: float | None = None,
    target_psnr: float | None = None,
    max_bytes: int | None = None,
    portable: bool | None = None,
) -> bytes:
    """The bytes of a .lic file of a picture: Pillow's, an array (H, W) or (H, W, C), or a tensor (C, H, W).

    quality: of a codec of a range of rates; None: its largest. In its place the rate of the file's strings [bits per
    pixel], the PSNR of what is decoded [dB], or the most bytes that the file may have, as near as the codec comes.
    portable: for decoders on any device; None: where the codec's own options say so (`model.portable`).

    What raises: `lic_exp.files.coding.encode_image`, which has more to choose, and `lic_exp.files.targets.encode_for`.
    """
    from lic_exp.files import coding, targets
    from lic_exp.files.reading import picture_of

    target = targets.one_target(quality, bpp=target_bpp, psnr=target_psnr, most_bytes=max_bytes)
    if target is None:
        return coding.encode_image(image, codec, quality=quality, portable=portable)
    return targets.encode_for(picture_of(image), codec, target, portable=portable).data


def decode_image(data: bytes, codec: "Codec", *, form: "Form" = "pil", partial: bool = False) -> Any:
    """The picture of a .lic file, by the codec that coded it: an image of Pillow's, an "array", or a "tensor".

    partial: of a cut or damaged file what is whole, by a codec that decodes scale by scale; a warning says what is not.

    Raises FileError, as `lic_exp.files.coding.decode_image` and `lic_exp.files.partial.decode_partially`.
    """
    from lic_exp.files import coding
    from lic_exp.files.partial import decode_image_partially

    return (decode_image_partially if partial else coding.decode_image)(data, codec, form=form)


def create_regularizer(name: str, *, plugins: Sequence[str] = (), **overrides: Any) -> "SpectralRegularizer | None":
    """The regularizer that `spectral_reg=name` with these options builds; None for "none". As `create_model`."""
    config = load_part("spectral_reg", name, plugins=plugins, options=overrides)
    from lic_exp.config.instantiation import instantiate
    from lic_exp.runs.one_at_a_time import one_at_a_time

    with one_at_a_time("makes a regularizer", nested=True, long=False):
        regularizer: SpectralRegularizer | None = instantiate(config.spectral_reg.component, "spectral_reg")
    return regularizer


def list_runs(runs: str | Path = "runs") -> "pd.DataFrame":
    """One row per run folder in `runs`, the latest started last: the columns are those of `RunSummary`.

    Raises ConfigError where there is no such folder.
    """
    import pandas as pd

    columns = [field.name for field in fields(RunSummary)]
    return pd.DataFrame([asdict(run) for run in summaries(runs)], columns=columns)


def run(overrides: Sequence[str] = (), *, quiet: bool = False) -> "CodingRun":
    """Train and evaluate as `python launch.py OVERRIDES` does, or find that run done.

    The caller's random states and number of threads are as before when it returns. Raises ConfigError before anything
    starts where an override is wrong, RunBusyError where another thread of this process trains or evaluates, and what
    the run itself raises.
    """
    training = one_training(texts(overrides))
    config = load(training.overrides)
    if training.study:
        training.study.record(config)
    from lic_exp.console import console_for
    from lic_exp.runs.coding import CodingRun
    from lic_exp.runs.start import start_run

    console, results = console_for(sys.stderr), console_for(sys.stdout)
    console.quiet = results.quiet = quiet
    return CodingRun.of(start_run(config, list(overrides), console, results))


def find_run(name: str, runs: str | Path = "runs") -> "CodingRun":
    """The run with this folder, signature, or unique beginning of a signature. Raises ConfigError where there is none.

    `find_run(name).codec()` is its codec, ready to code.
    """
    from lic_exp.runs.coding import CodingRun

    return CodingRun.of(found_run(name, str(runs)))


def sweep(overrides: Sequence[str] = (), **launcher: Any) -> "Sweep":
    """Run the cells that `python launch.py -m OVERRIDES` would, what is done left out, and return once they have ended.

    launcher: options of `hydra.launcher`, e.g. slots=2, or detach=True, which returns at once. What fails shows in the
    sweep's `status`; nothing is raised for it. Raises ConfigError before anything starts where an override is wrong.
    """
    from lic_exp.sweeps.create import sweep_request
    from lic_exp.sweeps.sweep import Sweep

    request = sweep_request(_launched(overrides, launcher), several=True)
    request.run()
    return Sweep(request.frozen.folder)


def plan(overrides: Sequence[str] = (), **launcher: Any) -> "pd.DataFrame":
    """What `sweep` would run, as `plan=true` shows it; nothing is written or started. Raises ConfigError.

    One row per cell. minutes: of computing still to come, NaN where nothing is known of its like. never_reached: what
    the cell is too short for, in words. same_as: the signature of an earlier cell that is one experiment with it so.
    """
    import pandas as pd

    from lic_exp.sweeps.create import sweep_request
    from lic_exp.sweeps.plan import plan as planned

    request = sweep_request(_launched(overrides, launcher), several=True)
    return pd.DataFrame(
        [
            {
                "label": one.now.cell.label,
                "signature": one.now.cell.signature,
                "state": one.now.state,
                "minutes": one.minutes,
                "differs": one.differs,
                "never_reached": "; ".join(one.never_reached),
                "same_as": one.same_as,
            }
            for one in planned(request)
        ]
    )


def search(overrides: Sequence[str], *, trials: int, sampler: str = "random", **launcher: Any) -> "Sweep":
    """Look for the lowest `val/rd_loss`, as `python launch.py -m hydra/sweeper=search` does; the sweep that it made.

    overrides: those with several values or an interval are the axes. sampler: "random", or "tpe" (Optuna). launcher: as
    in `sweep`. Raises ConfigError before anything starts where something is wrong.
    """
    from lic_exp.sweeps.search import search as run_search
    from lic_exp.sweeps.sweep import Sweep
    from lic_exp.sweeps.trainings import requested

    chosen = ["hydra/sweeper=search", f"hydra.sweeper.trials={trials}", f"hydra.sweeper.sampler={sampler}"]
    given = _launched([*texts(overrides), *chosen], launcher)
    return Sweep(run_search(given, requested(given))[1])


def list_sweeps(runs: str | Path = "runs") -> "list[Sweep]":
    """All sweeps beside these runs, the latest made last."""
    from lic_exp.sweeps.folder import sweeps
    from lic_exp.sweeps.sweep import Sweep

    return [Sweep(found.folder) for found in sweeps(runs)]


def _launched(overrides: Sequence[str], launcher: dict[str, Any]) -> list[str]:
    """The overrides with these options of the launcher."""
    return [*texts(overrides), *(f"hydra.launcher.{key}={quoted(value)}" for key, value in launcher.items())]
