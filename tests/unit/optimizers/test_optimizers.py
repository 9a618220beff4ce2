import copy
import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from lic_exp.component_schema import describe
from lic_exp.optimizers.cautious_adam import CautiousAdam
from lic_exp.optimizers.factories import adam, adamw, sgd
from lic_exp.optimizers.groups import (
    Optimizers,
    ParameterSplit,
    build_optimizers,
    clip_gradients,
    split_parameters,
)
from lic_exp.optimizers.muon import Muon
from lic_exp.optimizers.soap import SOAP

ADAM = {"betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.01}
FACTORIES: dict[str, Callable[[list[dict[str, Any]]], torch.optim.Optimizer]] = {
    "adam": partial(adam, lr=1e-3, **ADAM),
    "adamw": partial(adamw, lr=1e-3, **ADAM),
    "cautious_adam": partial(CautiousAdam, lr=1e-3, max_rescale=10.0, **ADAM),
    "sgd": partial(sgd, lr=1e-3, momentum=0.9, nesterov=True, weight_decay=0.0),
    "muon": partial(Muon, lr=1e-3, adam_lr=2e-3, momentum=0.95, nesterov=True, ns_steps=5, **ADAM),
    "soap": partial(
        SOAP,
        lr=1e-3,
        adam_lr=2e-3,
        shampoo_beta=0.9,
        precondition_every_steps=2,
        max_precondition_dim=20,
        **ADAM,
    ),
}
all_factories = pytest.mark.parametrize("factory", FACTORIES.values(), ids=list(FACTORIES))


class Prior(nn.Module):
    """The shapes of a factorized entropy model: stacks of tiny matrices, and quantiles with their own loss."""

    def __init__(self) -> None:
        super().__init__()
        self._matrix0 = nn.Parameter(torch.rand(6, 3, 2))
        self.quantiles = nn.Parameter(torch.rand(6, 1, 3))


class ToyCodec(nn.Module):
    """Every kind of weight that codecs have, and one that is frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3)
        self.depthwise = nn.Conv2d(6, 6, 3, groups=6)
        self.linear = nn.Linear(6, 4)
        self.gain = nn.Parameter(torch.ones(1, 6, 1, 1))
        self.prior = Prior()
        self.frozen = nn.Parameter(torch.ones(2), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.gain * self.depthwise(self.conv(x))
        rate: Tensor = torch.einsum("bchw,cij->", y, self.prior._matrix0)
        return self.linear(y.mean((2, 3))).square().mean() + 1e-3 * rate.square()

    def aux_loss(self) -> Tensor:
        return self.prior.quantiles.square().sum()


def toy_regularizers() -> nn.ModuleDict:
    return nn.ModuleDict({"inter_scale": nn.Conv2d(6, 4, 1), "intra_scale": nn.Identity()})


def toy(factory: Callable[[list[dict[str, Any]]], torch.optim.Optimizer]) -> tuple[ToyCodec, nn.Module, Optimizers]:
    torch.manual_seed(0)
    codec, regularizers = ToyCodec(), toy_regularizers()
    optimizers = build_optimizers(
        split_parameters(codec, regularizers), factory, lr=1e-3, lr_factors={}, aux_lr=1e-2, reg_lr=None
    )
    return codec, regularizers, optimizers


def backward(codec: ToyCodec, regularizers: nn.Module, seed: int = 0) -> None:
    x = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    penalty = regularizers["inter_scale"](codec.conv(x)).square().mean()  # type: ignore[index]
    (codec(x) + penalty + codec.aux_loss()).backward()


def step(codec: ToyCodec, regularizers: nn.Module, optimizers: Optimizers, seed: int = 0) -> None:
    optimizers.zero_grad()
    backward(codec, regularizers, seed)
    optimizers.step()


def weights(*modules: nn.Module) -> dict[str, Tensor]:
    return {f"{i}.{name}": p.detach().clone() for i, m in enumerate(modules) for name, p in m.named_parameters()}


def test_every_trainable_parameter_is_in_exactly_one_group() -> None:
    codec, regularizers = ToyCodec(), toy_regularizers()
    split = split_parameters(codec, regularizers)
    assert list(split.aux) == ["prior.quantiles"]
    assert list(split.reg) == ["inter_scale.weight", "inter_scale.bias"]
    expected = {name for name, p in codec.named_parameters() if p.requires_grad}
    assert set(split.net) | set(split.aux) == expected
    assert not set(split.net) & set(split.aux)
    assert "frozen" not in split.net


@all_factories
def test_the_optimizers_hold_exactly_the_split(
    factory: Callable[[list[dict[str, Any]]], torch.optim.Optimizer],
) -> None:
    _, _, optimizers = toy(factory)
    assert optimizers.aux is not None
    for optimizer, names in ((optimizers.net, ("net", "regularizer")), (optimizers.aux, ("aux",))):
        for name in names:
            held = [p for g in optimizer.param_groups if g["name"] == name for p in g["params"]]
            assert len(held) == len(set(held))
            assert set(held) == set(optimizers.split.groups()[name].values())


def test_a_shared_parameter_counts_once() -> None:
    codec = ToyCodec()
    codec.alias = nn.Sequential(codec.conv)
    split = split_parameters(codec, nn.ModuleDict())
    assert "conv.weight" in split.net
    assert "alias.0.weight" not in split.net


def test_a_parameter_of_codec_and_regularizer_is_named() -> None:
    codec = ToyCodec()
    with pytest.raises(ValueError, match=r"'linear.weight' of group net is also 'greedy.weight' of group regularizer"):
        split_parameters(codec, nn.ModuleDict({"greedy": codec.linear}))


def test_a_codec_without_weights_is_refused() -> None:
    with pytest.raises(ValueError, match="Prior has no trainable parameters besides quantiles"):
        split_parameters(Prior().requires_grad_(False), nn.ModuleDict())


def test_without_quantiles_there_is_no_aux_optimizer() -> None:
    optimizers = build_optimizers(
        split_parameters(nn.Linear(2, 2), nn.ModuleDict()),
        FACTORIES["adam"],
        lr=1e-3,
        lr_factors={},
        aux_lr=1e-2,
        reg_lr=None,
    )
    assert optimizers.aux is None
    assert set(optimizers.state_dict()) == {"parameters", "net"}
    assert [g["name"] for g in optimizers.net.param_groups] == ["net"]


@pytest.mark.parametrize(("reg_lr", "expected"), [(None, 1e-3), (0.5, 0.5)])
def test_learning_rates_of_the_groups(reg_lr: float | None, expected: float) -> None:
    split = split_parameters(ToyCodec(), toy_regularizers())
    optimizers = build_optimizers(split, FACTORIES["adam"], lr=1e-3, lr_factors={}, aux_lr=1e-2, reg_lr=reg_lr)
    assert [g["lr"] for g in optimizers.net.param_groups] == [1e-3, expected]
    assert optimizers.aux is not None
    assert optimizers.aux.param_groups[0]["lr"] == 1e-2


@pytest.mark.parametrize("kind", ["muon", "soap"])
def test_matrices_keep_the_main_rate_and_come_first_and_a_group_s_own_rate_holds_for_both_kinds(kind: str) -> None:
    split = split_parameters(ToyCodec(), toy_regularizers())
    groups = build_optimizers(split, FACTORIES[kind], lr=1e-3, lr_factors={}, aux_lr=1e-2, reg_lr=0.5).net.param_groups
    assert [(g["name"], g["kind"], g["lr"]) for g in groups] == [
        ("net", kind, 1e-3),
        ("net", "adam", 2e-3),
        ("regularizer", kind, 0.5),
        ("regularizer", "adam", 0.5),
    ]


@all_factories
def test_two_steps_move_every_trainable_parameter(
    factory: Callable[[list[dict[str, Any]]], torch.optim.Optimizer],
) -> None:
    codec, regularizers, optimizers = toy(factory)
    before = weights(codec, regularizers)
    for seed in range(2):  # the first one of SOAP's moves no matrix
        step(codec, regularizers, optimizers, seed)
    after = weights(codec, regularizers)
    assert [name for name in before if torch.equal(before[name], after[name])] == ["0.frozen"]


@all_factories
def test_resuming_continues_bit_for_bit(
    factory: Callable[[list[dict[str, Any]]], torch.optim.Optimizer], tmp_path: Path
) -> None:
    codec, regularizers, optimizers = toy(factory)
    for seed in range(3):
        step(codec, regularizers, optimizers, seed)
    saved = {"codec": codec, "regularizers": regularizers, "optimizers": optimizers}
    torch.save({name: part.state_dict() for name, part in saved.items()}, tmp_path / "last.pt")
    for seed in range(3, 6):
        step(codec, regularizers, optimizers, seed)

    resumed = dict(zip(saved, toy(factory), strict=True))
    for name, state in torch.load(tmp_path / "last.pt", weights_only=True).items():
        resumed[name].load_state_dict(state)
    for seed in range(3, 6):
        step(*resumed.values(), seed)  # type: ignore[arg-type]
    expected, found = weights(codec, regularizers), weights(resumed["codec"], resumed["regularizers"])  # type: ignore[arg-type]
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_a_state_of_other_parameters_is_refused() -> None:
    _, _, optimizers = toy(FACTORIES["adam"])
    state = copy.deepcopy(optimizers.state_dict())
    names = state["parameters"]["net"]
    names[names.index("gain")] = "scale"
    with pytest.raises(ValueError, match=r"only in the checkpoint: \['net:scale'\]; only here: \['net:gain'\]"):
        optimizers.load_state_dict(state)
    state["parameters"]["net"] = sorted(optimizers.state_dict()["parameters"]["net"])
    with pytest.raises(ValueError, match="their order differs"):
        optimizers.load_state_dict(state)


def gradients(parameters: dict[str, nn.Parameter]) -> Tensor:
    return torch.cat([p.grad.flatten() for p in parameters.values() if p.grad is not None])


def test_each_group_is_clipped_by_its_own_norm() -> None:
    codec, regularizers, optimizers = toy(FACTORIES["muon"])
    backward(codec, regularizers)
    before = {group: gradients(members) for group, members in optimizers.split.groups().items()}
    small = 2 * before["regularizer"].norm().item()
    for parameter in optimizers.split.net.values():
        assert parameter.grad is not None
        parameter.grad *= 1e4 * small
    large = gradients(optimizers.split.net).norm()

    norms = clip_gradients(optimizers, max_norm=small)
    assert set(norms) == {"net", "regularizer", "aux"}
    assert norms["net"].item() == pytest.approx(large.item(), rel=1e-5)
    assert norms["aux"].item() == pytest.approx(before["aux"].norm().item(), rel=1e-5)
    assert gradients(optimizers.split.net).norm().item() == pytest.approx(small, rel=1e-4)
    assert torch.equal(gradients(optimizers.split.reg), before["regularizer"])


def test_norms_are_reported_without_clipping() -> None:
    codec, regularizers, optimizers = toy(FACTORIES["adam"])
    backward(codec, regularizers)
    before = gradients(optimizers.split.net)
    norms = clip_gradients(optimizers, max_norm=None)
    assert norms["net"].item() == pytest.approx(before.norm().item(), rel=1e-5)
    assert torch.equal(gradients(optimizers.split.net), before)


def test_a_gradient_that_is_no_number_is_seen_in_its_group_only() -> None:
    codec, regularizers, optimizers = toy(FACTORIES["adam"])
    backward(codec, regularizers)
    assert codec.gain.grad is not None
    codec.gain.grad.fill_(torch.nan)
    norms = clip_gradients(optimizers, max_norm=1.0)
    assert {group for group, norm in norms.items() if not norm.isfinite()} == {"net"}
    assert gradients(optimizers.split.reg).isfinite().all()


def test_a_group_without_gradients_has_norm_zero() -> None:
    _, _, optimizers = toy(FACTORIES["adam"])
    assert {group: norm.item() for group, norm in clip_gradients(optimizers, max_norm=1.0).items()} == {
        "net": 0.0,
        "regularizer": 0.0,
        "aux": 0.0,
    }


@pytest.mark.parametrize("max_norm", [1.0, None])
def test_so_it_has_where_its_parameters_are(max_norm: float | None) -> None:
    """As a regularizer's before its start: a norm elsewhere could not be checked beside the others."""
    there = {group: {"weight": nn.Parameter(torch.zeros(2, device="meta"))} for group in ("net", "aux", "reg")}
    split = ParameterSplit(**there)
    optimizers = Optimizers(net=torch.optim.SGD(split.net.values(), lr=1.0), aux=None, split=split)
    norms = clip_gradients(optimizers, max_norm)
    assert {group: norm.device.type for group, norm in norms.items()} == dict.fromkeys(split.groups(), "meta")
    assert torch.stack(list(norms.values())).shape == (3,)


def test_the_shipped_options_are_the_constructors_options() -> None:
    parameters = inspect.signature(build_optimizers).parameters.values()
    shared = {parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}
    conf = Path(__file__).parents[3] / "conf"
    for group, platform in (("optimizer", shared), ("scheduler", set()), ("criterion", set())):
        for path in sorted((conf / group).glob("*.yaml")):
            values = yaml.safe_load(path.read_text())
            if "defaults" in values:  # a variant states only what differs
                continue
            assert set(values) - {"_target_"} == set(describe(values["_target_"]).options) | platform, path
