"""What every small model does on the torch that is here: graphs, forward and backward, exact coding, exact resume.

    python tests/torch_matrix/probe.py [MODEL/ATTEMPT ...]

Prints which packages there are, what of lic_exp and analysis can be imported at all, and a line for each model and
attempt as soon as it is known: MODEL/ATTEMPT, a tab, and what happened. Ends with 1 where anything did not work.
Tracebacks go to stderr.
"""

import argparse
import importlib
import logging
import pkgutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1] / "end_to_end"))
import killing
from forked import Forked

import analysis
import lic_exp
from lic_exp.config.options import options
from lic_exp.fault_points import VARIABLE
from lic_exp.training.compiling import compile_objective
from lic_exp.training.criterion import MSE
from lic_exp.training.draws import Draws
from lic_exp.training.objective import Objective
from lic_exp.training.variable_rate import VariableRate

STEPS = 4
SHORT = (
    f"trainer.max_steps={STEPS}",
    "trainer.log_every_steps=1",
    "trainer.validate_every_steps=2",
    "trainer.checkpoint_every_steps=1",
    "data.num_workers=0",
    "data.height=128",
    "data.width=128",
    "spectral_reg.truncation_length=3",
)
Gradients = dict[str, Tensor]


def imported() -> None:
    """Every module of both packages."""
    for package in (lic_exp, analysis):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)


def objective(name: str) -> Objective:
    torch.manual_seed(0)
    codec = lic_exp.create_model(name)
    rates = VariableRate(
        lmbda_min=0.001, lmbda_max=0.064, drawn_qualities="continuous", balance=0.0, validation_rates=4
    )
    return Objective(codec, rates if codec.facts.variable_rate else MSE(lmbda=0.01), {}).train()


def step(of: Objective, side: int = 1) -> Gradients:
    """Of a fixed batch with fixed noise, forward and backward: the gradients, and the loss beside them."""
    pixels = side * of.codec.facts.downsampling_factor
    x = torch.rand(2, 3, 2 * pixels, pixels, generator=torch.Generator().manual_seed(1))
    draws = Draws(of.codec, seed=0)
    draws.draw(0, len(x))
    draws.learn(x)
    of.zero_grad()
    with draws.given(slice(0, len(x))):
        loss = of(x, *of.draw(draws.shares()))["loss"]
        loss.backward()  # type: ignore[no-untyped-call]
    found = {key: weight.grad.clone() for key, weight in of.named_parameters() if weight.grad is not None}
    assert found, "no parameter has a gradient"
    assert all(gradient.isfinite().all() for gradient in found.values()), "a gradient is not finite"
    return {"loss": loss.detach(), **found}


def eager(name: str) -> None:
    step(objective(name))


def graph(name: str) -> None:
    """As a compiler is given it: one graph without a break, forward and backward, of the model's own arithmetic."""
    as_compiled(name, True, "aot_eager")


def full(name: str) -> None:
    """By the compiler that trainings take; of the models that are written here, since it takes a minute or more."""
    if not name.startswith(("dhic", "hpcm")):
        raise Untried
    as_compiled(name, True, "inductor")


def blocks(name: str) -> None:
    if not objective(name).codec.repeated:
        raise Untried
    as_compiled(name, "blocks", "inductor")


def as_compiled(name: str, how: bool | str, backend: str) -> None:
    """Compiled code gives eager code's loss and gradients, within rounding."""
    plain = step(objective(name))
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    of = objective(name)
    compile_objective(of, how, backend)
    own = step(of)
    counted = torch._dynamo.utils.counters
    assert not counted["graph_break"], f"breaks: {list(counted['graph_break'])}"
    assert how == "blocks" or counted["stats"]["unique_graphs"] == 1, f"{counted['stats']['unique_graphs']} graphs"
    assert own.keys() == plain.keys()
    for key, expected in plain.items():
        apart = float((own[key] - expected).norm() / expected.norm().clamp(min=1e-3))
        assert apart < 0.02, f"{key} is {apart:.1%} off"


def coded(name: str) -> None:
    codec = lic_exp.create_model(name).eval()
    side = codec.facts.downsampling_factor
    x = torch.rand(1, 3, side, 2 * side, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        codec.update()
        compressed = codec.compress(x)
        again = codec.decompress(compressed)
        assert codec.compress(x).strings == compressed.strings, "other strings the second time"
        assert torch.equal(again, codec.reconstruct(compressed)), "not the encoder's picture"


def resumed(name: str) -> None:
    """A run that is killed after its second checkpoint and resumed ends, bit by bit, as one that is not."""
    criterion = "variable_rate" if name.startswith("dhic") else "mse"
    factor = lic_exp.create_model(name).facts.downsampling_factor
    changed = [f"model={name}", f"criterion={criterion}", f"data.crop_size={max(64, factor)}", *SHORT]
    with tempfile.TemporaryDirectory() as place:
        whole, killed = Path(place) / "whole", Path(place) / "killed"
        reference = killing.finish(whole, changed)
        log = killed.parent / f"{killed.name}.log"
        environment = {**killing.ENVIRONMENT, VARIABLE: "checkpoint.written:2"}
        code = Forked([*killing.OVERRIDES, *changed, f"paths.runs={killed}"], log, environment).wait()
        assert code == -signal.SIGKILL, f"exit code {code} where it was to be killed: {log.read_text()[-3000:]}"
        found = killing.differences(reference, killing.finish(killed, changed), STEPS)
        assert not found, f"differs in {found[:5]}"


class Untried(Exception):  # noqa: N818 (no error)
    """Of this model."""


TRIED: dict[str, Callable[[str], None]] = {
    "forward, backward": eager,
    "coding": coded,
    "compile=blocks": blocks,
    "compile=full": full,
    "one graph": graph,
    "resume": resumed,
}
"""The cheap ones first, and those that say most of a version."""


def outcome(attempt: Callable[[], None]) -> str:
    """What stands in the table: "ok" with its seconds, "-" for what is not tried, or what was raised."""
    began = time.monotonic()
    try:
        attempt()
    except Untried:
        return "-"
    except Exception as error:  # noqa: BLE001 (whatever a version of torch may raise is its row's result)
        traceback.print_exc()
        return f"FAILED: {type(error).__name__}"
    return f"ok, {time.monotonic() - began:.0f} s"


def cells(named: Sequence[str], but: Sequence[str]) -> list[tuple[str, str]]:
    """(model, attempt) of each that is named, all where none is, without `but`; those that say most come first."""
    models = [name for name in options("model") if name.endswith("_tiny")]
    own_first = sorted(models, key=lambda name: not name.startswith(("dhic", "hpcm")))
    wanted = [(name, attempt) for attempt in TRIED for name in own_first]
    known = {"/".join(cell) for cell in wanted}
    assert known.issuperset([*named, *but]), f"known are {', '.join(sorted(known))}"
    return [cell for cell in wanted if "/".join(cell) in (set(named) or known) - set(but)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cells", nargs="*", metavar="MODEL/ATTEMPT", help="all, if none is named")
    parser.add_argument("--but", nargs="+", default=[], metavar="MODEL/ATTEMPT", help="without these")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # of versions that the rest of the tests do not run on
    logging.disable(logging.WARNING)
    packages = ", ".join(
        f"{package} {version(package)}" for package in ("torchvision", "compressai", "scipy", "pandas")
    )
    print(f"Python {sys.version.split()[0]}, torch {torch.__version__}, numpy {np.__version__}, {packages}.")
    told = [outcome(imported)]
    print(f"Imports of all modules: {told[0]}.", flush=True)
    for name, attempt in cells(arguments.cells, arguments.but):
        told.append(outcome(lambda: TRIED[attempt](name)))  # noqa: B023 (called at once)
        print(f"{name}/{attempt}\t{told[-1]}", flush=True)
    return int(any(text.startswith("FAILED") for text in told))


if __name__ == "__main__":
    sys.exit(main())
