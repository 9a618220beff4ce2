"""What other packages do not promise to keep, each use once, with the reason for it; torch's: `lic_exp.private_torch`.

pyproject.toml bounds the versions of these packages both ways: a new one is let in when the tests pass with it.
Packages are imported where they are used, so that nothing pays for them at start-up.
"""

import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


# pytorch_msssim


def ssim_of_scale(x: "Tensor", y: "Tensor", window: "Tensor") -> "tuple[Tensor, Tensor]":
    """SSIM and its contrast term, (B, C) each, of images (B, C, H, W) in [0, 1] through a window (C, 1, 1, width).

    Why: `pytorch_msssim.ms_ssim` copies its constants from the host whenever it is called, as no recorded step can.
    """
    from pytorch_msssim.ssim import _ssim

    found: tuple[Tensor, Tensor] = _ssim(x, y, data_range=1.0, win=window, size_average=False)
    return found


# CompressAI


def entropy_coder() -> Any:
    """Its rANS coder, without the rest of it.

    Why: `import compressai` brings all of its models, data sets and what they need, for seconds, and with numpy 2 it
    is not promised to work; the compiled coder needs none of that.
    """
    return _compiled("ans")


@cache
def _compiled(name: str) -> Any:
    """One of its compiled modules, whether or not the package is imported, now or later."""
    package = find_spec("compressai")
    if package is None:
        raise ModuleNotFoundError("compressai is not installed, whose entropy coder codes all strings")
    full = f"compressai.{name}"
    if "compressai" in sys.modules:
        return import_module(full)
    spec = PathFinder.find_spec(full, package.submodule_search_locations)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    # What is imported before its package is no attribute of it afterwards. Imported again, its classes are the same.
    sys.modules.pop(full, None)
    return module


def quantized_cdf(masses: Sequence[float], precision: int) -> list[int]:
    """Cumulative frequencies (n + 1) of `precision` bits, none of them empty, of n masses.

    Why: its public callers are modules that hold a whole entropy model, and its coder needs just these numbers.
    """
    cdf: list[int] = _compiled("_CXX").pmf_to_quantized_cdf(list(masses), precision)
    return cdf


def coding_tables(entropy_model: Any) -> "tuple[Tensor, Tensor, Tensor]":
    """Cumulative distributions, their lengths and offsets, as its coder takes them.

    Why: they are public in a state dict alone.
    """
    return entropy_model._quantized_cdf, entropy_model._cdf_length, entropy_model._offset


def density_likelihoods(bottleneck: Any, values: "Tensor") -> "Tensor":
    """Probabilities, not bounded below, of the unit intervals around values (C, 1, n) of an entropy bottleneck.

    Why: in public they come with a permutation that depends on the values of a tensor, which no graph can hold.
    """
    likelihoods: Tensor = bottleneck._likelihood(values)[0]
    return likelihoods


def has_cumulative_logits(module: Any) -> bool:
    """Whether it is an entropy bottleneck of CompressAI's kind, whose quantiles aim at targets.

    Why: of a codec of anybody's; importing compressai to ask takes seconds.
    """
    return all(hasattr(module, name) for name in ("_logits_cumulative", "quantiles", "target"))


def cumulative_logits(bottleneck: Any, values: "Tensor") -> "Tensor":
    """Logits of the probability of less than values (C, 1, n), of its density alone, without a gradient to that.

    Why: quantiles are learnt by a loss of these, and are to be had in public by nothing else.
    """
    logits: Tensor = bottleneck._logits_cumulative(values, stop_gradient=True)
    return logits


@contextmanager
def serially_coded(codec: Any) -> Iterator[list[tuple["Tensor", int]]]:
    """Of each image that an autoregressive codec compresses inside: (padded y_hat as the decoder has it, padding).

    Why: `compress` returns strings alone, and the quantised values cannot be had otherwise without decoding, which
    takes as long again.
    """
    coded: list[tuple[Tensor, int]] = []
    code = codec._compress_ar

    def keeping(y_hat: "Tensor", *arguments: Any) -> bytes:
        string: bytes = code(y_hat, *arguments)
        coded.append((y_hat, arguments[-1]))
        return string

    codec._compress_ar = keeping
    try:
        yield coded
    finally:
        del codec._compress_ar


# Hydra


def hydra_arguments() -> ArgumentParser:
    """The parser of what Hydra's application takes: `--cfg`, `-m`, overrides and the rest.

    Why: overrides are judged before Hydra starts, and its own main parses only once it has.
    """
    from hydra._internal.utils import get_args_parser

    return get_args_parser()


def yaml_text(node: Any, *, resolve: bool) -> str:
    """A config of OmegaConf's as YAML, in which characters that no terminal should be sent stand as YAML's escapes.

    Why: `OmegaConf.to_yaml` writes all but ASCII's control characters as they are, and takes no option; its dumper,
    which quotes what its loader would take for another type, is not public.
    """
    from omegaconf import OmegaConf

    text: str = OmegaConf.to_yaml(node, resolve=resolve)
    if all(line.isprintable() for line in text.split("\n")):
        return text
    import yaml
    from omegaconf._utils import get_omega_conf_dumper

    plain = OmegaConf.to_container(node, resolve=resolve, enum_to_str=True)
    escaped: str = yaml.dump(plain, default_flow_style=False, sort_keys=False, Dumper=get_omega_conf_dumper())
    return escaped


# submitit


def slurm_executor(folder: Path, command: Callable[[str], str]) -> Any:
    """Submitit's executor for jobs that start `command(python)` instead of a pickled function.

    Why: a pickle holds paths of modules, which a later version of this package need not have.
    """
    import submitit

    class Executor(submitit.SlurmExecutor):
        @property
        def _submitit_command_str(self) -> str:
            return command(self.python)

    return Executor(folder)
