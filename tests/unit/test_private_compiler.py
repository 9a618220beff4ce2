"""torch's compiler, which takes a second to load, is not loaded by what needs none."""

import json

import pytest
import torch
from checkout import ROOT
from commands import finish, start

from lic_exp.private_compiler import has_loaded_compiler, left_uncompiled

OPTIMIZERS = {
    "adam": "factories.adam, {'betas': [0.9, 0.999], 'eps': 1e-8, 'weight_decay': 0.1}",
    "adamw": "factories.adamw, {'betas': [0.9, 0.999], 'eps': 1e-8, 'weight_decay': 0.1}",
    "sgd": "factories.sgd, {'momentum': 0.9, 'nesterov': True, 'weight_decay': 0.1}",
    "muon": (
        "muon.Muon, {'adam_lr': 0.01, 'momentum': 0.9, 'nesterov': True, 'ns_steps': 3, 'weight_decay': 0.1, "
        "'betas': [0.9, 0.999], 'eps': 1e-8}"
    ),
    "cautious_adam": (
        "cautious_adam.CautiousAdam, {'betas': [0.9, 0.999], 'eps': 1e-8, 'weight_decay': 0.1, 'max_rescale': 10.0}"
    ),
    "soap": (
        "soap.SOAP, {'adam_lr': 0.01, 'betas': [0.9, 0.95], 'shampoo_beta': 0.9, 'eps': 1e-8, 'weight_decay': 0.1, "
        "'precondition_every_steps': 2, 'max_precondition_dim': 6}"
    ),
}

PROGRAM = f"""
import json, sys
from functools import partial
import torch
from lic_exp.optimizers import cautious_adam, factories, muon, soap
from lic_exp.optimizers.groups import build_optimizers, split_parameters
from lic_exp.private_compiler import compiler_not_loaded, has_loaded_compiler

FACTORIES = {{{", ".join(f"{name!r}: ({given})" for name, given in OPTIMIZERS.items())}}}

def trained(factory, options):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Linear(7, 3))
    net.quantiles = torch.nn.Parameter(torch.ones(3))
    made = partial(factory, lr=0.01, **options)
    split = split_parameters(net, torch.nn.ModuleList())
    optimizers = build_optimizers(split, made, lr=0.01, aux_lr=0.1, reg_lr=None, lr_factors={{}})
    for step in range(4):
        optimizers.zero_grad()
        (net(torch.full((2, 5), 1.0 + step)).square().sum() + net.quantiles.sum()).backward()
        optimizers.step()
        optimizers.load_state_dict(optimizers.state_dict())
    return [weight.tolist() for weight in net.parameters()]

early = {{name: [trained(*given), has_loaded_compiler(), "torch._dynamo" in sys.modules]
         for name, given in FACTORIES.items()}}
with compiler_not_loaded():
    import torch._dynamo
    asked = torch._dynamo.config.__name__  # what no optimizer asks for
is_itself = [has_loaded_compiler(), sys.modules["torch._dynamo"] is torch._dynamo]
late = {{name: trained(*given) for name, given in FACTORIES.items()}}
print(json.dumps([early, late, [asked, *is_itself]]))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    done = finish(start("-c", PROGRAM, folder=tmp_path_factory.mktemp("place"), path=ROOT))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_does_the_same_without_the_compiler_and_does_not_load_it(told, name):
    early, late, _ = told
    weights, *loaded = early[name]
    assert loaded == [False, False]
    assert weights == late[name]


def test_whoever_asks_for_the_compiler_itself_gets_it(told):
    assert told[2] == ["torch._dynamo.config", True, True]


def doubled(x: torch.Tensor) -> torch.Tensor:
    SEEN.append(torch.compiler.is_compiling())
    return x * 2


class Part(torch.nn.Module):
    @left_uncompiled
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return doubled(x)


SEEN: list[bool] = []


@pytest.mark.parametrize("left", [left_uncompiled(doubled), Part()], ids=["function", "method"])
@pytest.mark.parametrize("first", ["as it is", "compiled"])
def test_what_is_left_uncompiled_runs_as_it_is_written(left, first):
    """Also where it was called before there was a compiler."""
    torch._dynamo.reset()
    SEEN.clear()
    if first == "as it is":
        left(torch.ones(2))
    compiled = torch.compile(lambda x: left(x + 1) - 1, backend="eager")
    assert torch.equal(compiled(torch.ones(2)), torch.full((2,), 3.0))
    assert SEEN
    assert not any(SEEN)
    assert has_loaded_compiler()
