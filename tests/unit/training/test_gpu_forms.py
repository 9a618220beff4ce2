"""Steps in the forms that they have on a GPU, asked for on the CPU: in 16 bits, as written and as a graph."""

import sys

import pytest
import torch
from torch._dynamo.backends.common import aot_autograd
from torch._inductor.decomposition import select_decomp_table
from training_parts import CPU, SEED, optimizers, step_options, variable_rate

import lic_exp
from lic_exp.config.options import options
from lic_exp.data.batches import Batch
from lic_exp.models import convolution
from lic_exp.models.dhic.convolution import Conv1x1
from lic_exp.progress import Progress
from lic_exp.training.compiling import compile_objective
from lic_exp.training.criterion import MSE
from lic_exp.training.objective import Objective
from lic_exp.training.rng import seed_everything
from lic_exp.training.stepper import Stepper
from lic_exp.training.weight_gradients import merge_weight_gradients

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)  # the compiler's

TINY = [name for name in options("model") if name.endswith("_tiny")]
OURS = [name for name in TINY if name.startswith(("dhic", "hpcm"))]
"""Those that have such forms."""


def as_on_a_gpu(monkeypatch):
    """Have all modules take features for a GPU's, by whatever name they know the question."""
    monkeypatch.setattr(Conv1x1, "forward", convolution.Pointwise.forward)  # not the form of its own for a CPU
    forms = {
        "trains_on_gpu": lambda x: torch.is_grad_enabled(),
        "compiles_for_gpu": lambda x: torch.is_grad_enabled() and torch.compiler.is_compiling(),
        "fusing_pays": lambda x: False,
    }
    for name, module in list(sys.modules.items()):
        for question, answer in forms.items():
            if name.startswith("lic_exp.models") and hasattr(module, question):
                monkeypatch.setattr(module, question, answer)


def merged(graph, inputs):
    merge_weight_gradients(graph.graph)
    graph.recompile()
    return graph.forward


def three_steps(model, precision, graph, memory_format=torch.channels_last):
    """Terms of each of three steps."""
    torch._dynamo.reset()
    seed_everything(0)
    codec = lic_exp.create_model(model)
    of = Objective(codec, variable_rate() if codec.facts.variable_rate else MSE(lmbda=0.01), {}).train()
    last = memory_format == torch.channels_last
    codec.to(memory_format=memory_format)
    if graph:
        compile_objective(of, True, backend=aot_autograd(fw_compiler=merged, decompositions=select_decomp_table))
    stepper = Stepper(of, optimizers(of), step_options(precision=precision, channels_last=last), CPU, SEED)
    side = codec.facts.downsampling_factor
    x = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    found = [stepper.step(Batch(x, ["one", "other"]), Progress(step, 0, 0.0)).terms for step in range(3)]
    if graph:
        assert not torch._dynamo.utils.counters["graph_break"]
    torch._dynamo.reset()
    return [{name: float(value) for name, value in terms.items()} for terms in found]


@pytest.mark.parametrize("model", OURS)
@pytest.mark.parametrize(
    ("precision", "graph"), [("bf16", False), ("float32", False), pytest.param("bf16", True, marks=pytest.mark.slow)]
)
def test_our_own_models_train_alike(monkeypatch, model, precision, graph):
    """To the rounding of the precision, which three steps of Adam multiply."""
    plain = three_steps(model, precision, graph=False)
    as_on_a_gpu(monkeypatch)
    near = {"bf16": 0.05, "float32": 1e-3}[precision]
    for ours, theirs in zip(three_steps(model, precision, graph), plain, strict=True):
        assert ours == pytest.approx(theirs, rel=near)


@pytest.mark.slow
@pytest.mark.parametrize("model", [name for name in TINY if name not in OURS])
@pytest.mark.parametrize("graph", [False, True])
def test_others_have_no_other_form(monkeypatch, model, graph):
    plain = three_steps(model, "bf16", graph=False)
    as_on_a_gpu(monkeypatch)
    for ours, theirs in zip(three_steps(model, "bf16", graph), plain, strict=True):
        assert ours == pytest.approx(theirs, rel=0.05)
