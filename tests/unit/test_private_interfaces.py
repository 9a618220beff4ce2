"""What other packages do not promise is used in two modules, which do what its users need of it."""

import ast
import importlib
import inspect
import pkgutil
import tomllib
from pathlib import Path

import pytest
import torch
from checkout import ROOT
from packaging.requirements import Requirement
from torch import nn

import lic_exp
from lic_exp import private_compiler, private_interfaces, private_torch

HOMES = ("lic_exp/private_interfaces.py", "lic_exp/private_torch.py", "lic_exp/private_compiler.py")
PUBLIC = {"_fields", "_replace", "_asdict", "_make", "_exit", "_generate_next_value_"}
"""Documented, for all their underscore: those of named tuples and of enumerations, and os._exit."""

ACCESS = {"getattr", "setattr", "hasattr", "delattr"}


def private(name):
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC


def own_names(tree):
    """What a module defines itself: functions, classes, variables, attributes that it sets."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def names_used(node):
    """Names of other modules and attributes of objects that a node of the tree refers to."""
    if isinstance(node, ast.Attribute):
        return [node.attr]
    if isinstance(node, ast.Import):
        return [part for alias in node.names for part in alias.name.split(".")]
    if isinstance(node, ast.ImportFrom):
        return [*(node.module or "").split("."), *(alias.name for alias in node.names)]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ACCESS:
        return [part.value for part in node.args[1:2] if isinstance(part, ast.Constant)]
    return []


def foreign(code):
    """Private names that a module uses and does not define."""
    tree = ast.parse(code)
    own = set(own_names(tree))
    return sorted({name for node in ast.walk(tree) for name in names_used(node) if private(name)} - own)


def sources():
    for package in ("lic_exp", "analysis"):
        yield from sorted((ROOT / package).rglob("*.py"))


def test_no_other_module_uses_what_is_private():
    found = {str(path.relative_to(ROOT)): foreign(path.read_text(encoding="utf-8")) for path in sources()}
    for home in HOMES:
        assert found.pop(home), "it is there for these"
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("from hydra._internal.utils import get_args_parser", ["_internal"]),
        ("import torch._dynamo", ["_dynamo"]),
        ("from lic_exp.runs.run import _alive", ["_alive"]),
        ("def stop(it):\n    it._shutdown_workers()", ["_shutdown_workers"]),
        ("def stop(it):\n    getattr(it, '_shutdown_workers')()", ["_shutdown_workers"]),
        ("class A:\n    def _own(self): ...\n    def f(self, other): other._own()", []),
        ("class A:\n    def __init__(self): self._x = 1\n    def f(self): return self._x, self.__dict__", []),
    ],
)
def test_planted_uses_are_found(code, names):
    assert foreign(code) == names


def overridden(classes):
    """Private methods of other packages' classes that ours replace."""
    for kind in classes:
        foreign_bases = [base for base in kind.__mro__ if base.__module__.partition(".")[0] != "lic_exp"]
        for name, value in vars(kind).items():
            replaces = any(name in vars(base) for base in foreign_bases)
            if private(name) and replaces and (inspect.isfunction(value) or isinstance(value, property)):
                yield f"{kind.__module__}.{kind.__qualname__}.{name}"


def test_no_class_replaces_what_is_private():
    """Which the text alone does not show."""
    modules = [
        found.name for found in pkgutil.walk_packages(lic_exp.__path__, "lic_exp.") if found.name != "lic_exp.conf"
    ]
    members = [vars(importlib.import_module(name)).values() for name in modules if not name.endswith("__main__")]
    classes = {value for values in members for value in values if inspect.isclass(value)}
    assert sorted(overridden(kind for kind in classes if kind.__module__.startswith("lic_exp."))) == []


def test_a_planted_replacement_is_found():
    class Planted(nn.Module):
        def _load_from_state_dict(self, *arguments):
            """As torch calls it."""

    Planted.__module__ = "lic_exp.planted"
    (found,) = overridden([Planted])
    assert found.endswith("Planted._load_from_state_dict")


@pytest.mark.parametrize("home", [private_interfaces, private_torch, private_compiler])
def test_every_use_says_why(home):
    functions = [value for value in vars(home).values() if inspect.isfunction(value)]
    own = [
        function for function in functions if function.__module__ == home.__name__ and not private(function.__name__)
    ]
    assert len(own) >= 7
    assert [function.__name__ for function in own if "\n\nWhy: " not in inspect.getdoc(function)] == []


def test_their_packages_are_bounded_both_ways():
    project = tomllib.loads(Path(ROOT, "pyproject.toml").read_text(encoding="utf-8"))["project"]
    bounds = {found.name: found.specifier for found in map(Requirement, project["dependencies"])}
    for package in ("torch", "compressai", "hydra-core", "submitit"):
        operators = {part.operator for part in bounds[package]}
        assert operators == {">=", "<"}, package


def test_tensors_without_values_know_their_mode():
    with private_torch.without_values() as mode:
        tensor = torch.empty(2, 3)
    assert private_torch.mode_of(tensor) is mode
    assert private_torch.mode_of(torch.empty(1)) is None


def test_submitits_job_starts_our_command(tmp_path):
    executor = private_interfaces.slurm_executor(tmp_path, lambda python: f"{python} -m something")
    assert executor._submitit_command_str == f"{executor.python} -m something"


@pytest.mark.parametrize("nesterov", [False, True])
def test_momenta_begin_with_the_first_step_that_is_made(nesterov):
    """Where a device drops the first one too; bits are those of a step that nobody could have dropped."""
    torch.manual_seed(0)
    gradients = torch.randn(3, 1000)
    weights = [nn.Parameter(torch.ones(1000)) for _ in range(2)]
    skipping, plain = (
        torch.optim.SGD([weight], lr=0.1, momentum=0.9, nesterov=nesterov, fused=True) for weight in weights
    )
    weights[0].grad = torch.full((1000,), torch.nan)
    former = [torch.full((1000,), 7.0) for _ in range(5)]
    del former  # memory that is likely to be found again
    private_torch.step_unless(skipping, torch.tensor(True))
    assert not skipping.state[weights[0]]["momentum_buffer"].any()
    for gradient in gradients:
        for weight in weights:
            weight.grad = gradient.clone()
        private_torch.step_unless(skipping, torch.tensor(False))
        plain.step()
    assert torch.equal(*weights)
    momenta = [next(iter(one.state.values()))["momentum_buffer"] for one in (skipping, plain)]
    assert torch.equal(*momenta)


@pytest.mark.parametrize("options", [{"momentum": 0.0}, {"momentum": 0.9, "dampening": 0.5}])
def test_other_steps_of_sgd_begin_as_torch_has_them(options):
    weights = [nn.Parameter(torch.ones(10)) for _ in range(2)]
    told, plain = (torch.optim.SGD([weight], lr=0.1, fused=True, **options) for weight in weights)
    for _ in range(2):
        for weight in weights:
            weight.grad = torch.full((10,), 0.5)
        private_torch.step_unless(told, torch.tensor(False))
        plain.step()
    assert torch.equal(*weights)


def test_what_lies_elsewise_is_copied_all_the_same():
    values = [torch.rand(3, 4), torch.rand(4, 3).t(), torch.rand(()), torch.rand(2, 5)[:, ::2]]
    places = [torch.zeros(value.shape, dtype=torch.float64) for value in values]
    private_torch.copy_all(places, values)
    assert [bool((place == value).all()) for place, value in zip(places, values, strict=True)] == [True] * 4
    private_torch.copy_all([], [])


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 1.0])
def test_all_are_brought_as_far_as_each_would_be(share):
    values = [torch.randn(3, 4), torch.randn(5, 2).t(), torch.randn(())]
    places = [torch.randn(value.shape) for value in values]
    before, share = [place.clone() for place in places], torch.tensor(share)
    private_torch.approach_all(places, values, share)
    for place, former, value in zip(places, before, values, strict=True):
        torch.testing.assert_close(place, former.lerp(value, share))
    assert share > 0 or all(map(torch.equal, places, before))


def test_operations_are_told_before_they_are_made():
    weight, told = torch.rand(4, 3), []

    def see(given, cast_to, view):
        told.append((view, cast_to, len(given)))

    with private_torch.watched(see), torch.autocast("cpu", torch.bfloat16):
        torch.stack([weight.t()[0], weight.t()[1]])
        torch.mm(torch.rand(2, 4), weight)
    assert told.count((True, None, 1)) == 4, "transposed twice, and a row taken of each"
    assert (False, None, 2) in told, "stacked"
    assert told.count((False, torch.bfloat16, 1)) == 2
