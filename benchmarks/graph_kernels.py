"""How many kernels a training step launches: as it is written, and as the compiler's graph. A CPU's count, no time.

    python benchmarks/graph_kernels.py --models dhic_tiny hpcm_base dhic_paper

Prints a Markdown table. As written: operations that reach a device in forward pass, loss and backward pass, views left
out. As a graph: kernels that inductor generates for the CPU, and calls of others' (convolutions, matrix products), in
the graphs of `trainer.compile=full`. A proxy for what a GPU launches, whose compiler fuses and calls by its own rules.
Nothing that is generated gets compiled or run: kernels are replaced by nothing, so values mean nothing.
"""

import argparse
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from measuring import machine
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import lic_exp
from lic_exp.models.base import Codec
from lic_exp.training.compiling import compile_objective
from lic_exp.training.criterion import MSE
from lic_exp.training.objective import Objective
from lic_exp.training.variable_rate import VariableRate

GENERATED = re.compile(r"^\s+cpp_fused\w*\(", re.MULTILINE)
EXTERNAL = re.compile(r"^\s+(?:\w+ = )?(?:extern_kernels|torch\.ops|aten)\.[\w.]+\(", re.MULTILINE)


class Operations(TorchDispatchMode):
    """count: of those inside that do more than look at memory in another way, or ask for some."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        result = function(*arguments, **options or {})
        views = any(one.alias_info is not None and not one.alias_info.is_write for one in function._schema.returns)
        self.count += not (views or "empty" in str(function))
        return result


def objective(name: str) -> Objective:
    codec: Codec = lic_exp.create_model(name)
    if not codec.facts.variable_rate:
        return Objective(codec, MSE(lmbda=0.01), {}).train()
    rates = VariableRate(lmbda_min=0.001, lmbda_max=0.06, drawn_qualities="continuous", balance=0.0, validation_rates=3)
    return Objective(codec, rates, {}).train()


def step(of: Objective, x: Tensor) -> None:
    of(x)["loss"].backward()


def as_written(name: str, x: Tensor) -> int:
    of = objective(name)
    with Operations() as seen:
        step(of, x)
    return seen.count


@contextmanager
def nothing_compiled(sources: list[str]) -> Iterator[None]:
    """Inside, generated kernels do nothing, and the code that calls them is kept."""
    with (
        patch("torch._inductor.async_compile.AsyncCompile.cpp_pybinding", lambda *_, **__: lambda *_: None),
        patch("torch._inductor.graph.GraphLowering.save_output_code", sources.append),
        torch._inductor.config.patch(fx_graph_cache=False),
        torch._functorch.config.patch(enable_autograd_cache=False),
    ):
        yield


def as_graph(name: str, x: Tensor) -> tuple[int, int]:
    """Generated kernels and external calls."""
    of, sources = objective(name), list[str]()
    compile_objective(of, True)
    torch._dynamo.reset()
    with nothing_compiled(sources):
        step(of, x)
    called = ["\n".join(source.split("\ndef call(")[1:] or source.split("def call(")[1:]) for source in sources]
    return tuple(sum(len(what.findall(source)) for source in called) for what in (GENERATED, EXTERNAL))  # type: ignore[return-value]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["dhic_tiny", "hpcm_tiny"], metavar="MODEL")
    parser.add_argument("--side", type=int, default=256, help="of the one image of a step")
    chosen = parser.parse_args(arguments)
    print(f"{machine()}; a step of one image of {chosen.side}x{chosen.side}, forward, loss and backward\n")
    print("| model | operations as written | graph: generated kernels | external calls | both, of as written |")
    print("|---|---|---|---|---|")
    for name in chosen.models:
        x = torch.rand(1, 3, chosen.side, chosen.side)
        written, (generated, external) = as_written(name, x), as_graph(name, x)
        share = (generated + external) / written
        print(f"| {name} | {written} | {generated} | {external} | {share:.2f} |", flush=True)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
