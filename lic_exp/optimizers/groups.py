"""Who optimises which parameter: net (the codec), regularizer (training only), aux (the entropy model's quantiles)."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from lic_exp.optimizers.factories import adam
from lic_exp.option_types import PositiveFloat
from lic_exp.private_compiler import compiler_not_loaded
from lic_exp.private_torch import can_skip_on_device, step_unless

NET, REGULARIZER, AUX = "net", "regularizer", "aux"

Factory = Callable[[list[dict[str, Any]]], torch.optim.Optimizer]
"""An optimizer of this package with its options bound; it is given parameter groups."""


@dataclass(frozen=True)
class ParameterSplit:
    """Trainable parameters by name, each in exactly one group; `reg` may be empty, and so may `aux`."""

    net: dict[str, nn.Parameter]
    aux: dict[str, nn.Parameter]
    reg: dict[str, nn.Parameter]

    def groups(self) -> dict[str, dict[str, nn.Parameter]]:
        """The groups that have parameters, by the name under which they are clipped and logged."""
        named = {NET: self.net, REGULARIZER: self.reg, AUX: self.aux}
        return {group: parameters for group, parameters in named.items() if parameters}


def split_parameters(codec: nn.Module, regularizers: nn.Module) -> ParameterSplit:
    """Put every trainable parameter into one group by its name; one shared within a group counts once.

    The codec's parameters whose names end in `quantiles` are aux. `regularizers` is the module that holds them all.
    Raises ValueError where two groups claim a parameter, or where the codec has none to train.
    """
    split = ParameterSplit(net={}, aux={}, reg={})
    owner: dict[nn.Parameter, tuple[str, str]] = {}
    codec_parameters = codec.named_parameters(remove_duplicate=False)
    claims = chain(
        ((AUX if name.endswith("quantiles") else NET, name, parameter) for name, parameter in codec_parameters),
        ((REGULARIZER, name, parameter) for name, parameter in regularizers.named_parameters(remove_duplicate=False)),
    )
    members = {NET: split.net, AUX: split.aux, REGULARIZER: split.reg}
    for group, name, parameter in claims:
        if not parameter.requires_grad:
            continue
        first_group, first_name = owner.setdefault(parameter, (group, name))
        if first_group != group:
            raise ValueError(
                f"parameter '{first_name}' of group {first_group} is also '{name}' of group {group}; a parameter has "
                "one optimizer (a regularizer that needs the codec's weights must not register them as its own)"
            )
        if first_name == name:
            members[group][name] = parameter
    if not split.net:
        why = "nothing to optimise; where model.freeze holds them all, leave some"
        raise ValueError(f"{type(codec).__name__} has no trainable parameters besides quantiles: {why}")
    return split


@dataclass(frozen=True)
class Optimizers:
    """The optimizers of a run. `net.param_groups[0]["lr"]` is the codec's learning rate.

    Every group of `net` says in `group["name"]` whose parameters it has: "net" or "regularizer".
    `aux` is None where the codec has no quantiles.
    """

    net: torch.optim.Optimizer
    aux: torch.optim.Optimizer | None
    split: ParameterSplit

    def _without_compiler(self) -> AbstractContextManager[None]:
        """Torch's compiler stays unloaded inside; of an optimizer of the user's own nobody knows what it asks of it."""
        homes = {type(optimizer).__module__.partition(".")[0] for optimizer in self.each().values()}
        return compiler_not_loaded() if homes <= {"torch", "lic_exp"} else nullcontext()

    def zero_grad(self) -> None:
        with self._without_compiler():
            for optimizer in self.each().values():
                optimizer.zero_grad(set_to_none=True)

    @property
    def can_skip(self) -> bool:
        """Whether `step` can be told on the device to leave everything as it is: torch's fused kernels can."""
        return all(map(can_skip_on_device, self.each().values()))

    def step(self, *, skip: Tensor | None = None) -> None:
        """Step net, then aux.

        skip: a bool scalar on the device; where it is true neither weights nor moments change, without the host
        knowing (only if `can_skip`).
        """
        with self._without_compiler():
            for optimizer in self.each().values():
                if skip is not None:
                    step_unless(optimizer, skip)
                else:
                    optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        with self._without_compiler():
            states = {name: optimizer.state_dict() for name, optimizer in self.each().items()}
        return {"parameters": self._names(), **states}

    def take_moments_of(self, other: "Optimizers") -> None:
        """Go on with another's moments at one's own rates: a new stage of the same training.

        Raises ValueError where they are of another kind of optimizer or of other parameters.
        """
        own = self.state_dict()
        for name, optimizer in other.each().items():
            if type(optimizer) is not type(self.each().get(name)):
                raise ValueError(f"a {type(optimizer).__name__} state cannot continue in another optimizer: reset it")
            state = other.state_dict()[name]["state"]
            own[name] = {"state": state, "param_groups": own[name]["param_groups"]}
        self.load_state_dict(own)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume. Raises ValueError where the state was saved for other parameters, or the same in another order.

        torch matches parameters by position only, and would give a moment to the wrong one without a word.
        """
        if state["parameters"] != self._names():
            raise ValueError(_difference(saved=state["parameters"], present=self._names()))
        with self._without_compiler():
            for name, optimizer in self.each().items():
                optimizer.load_state_dict(state[name])

    def each(self) -> dict[str, torch.optim.Optimizer]:
        """By name: net, and aux where there is one."""
        return {"net": self.net} | ({"aux": self.aux} if self.aux is not None else {})

    def _names(self) -> dict[str, list[str]]:
        return {group: list(parameters) for group, parameters in self.split.groups().items()}


def _difference(saved: dict[str, list[str]], present: dict[str, list[str]]) -> str:
    saved_names, names = ({f"{group}:{n}" for group in side for n in side[group]} for side in (saved, present))
    lost, new = sorted(saved_names - names), sorted(names - saved_names)
    detail = f"only in the checkpoint: {lost[:5]}; only here: {new[:5]}" if lost or new else "their order differs"
    return f"the optimizer state was saved for other parameters ({detail}); resume with the config that wrote it"


def build_optimizers(
    split: ParameterSplit,
    factory: Factory,
    *,
    lr: PositiveFloat,
    aux_lr: PositiveFloat,
    reg_lr: PositiveFloat | None,
    lr_factors: dict[str, PositiveFloat],
) -> Optimizers:
    """The net optimizer from `factory`, and Adam for the quantiles.

    lr: the factory's learning rate. reg_lr: the regularizers', None for lr. Their weights form a group of their own.
    lr_factors: {shell pattern of parameter names: factor on lr}; the first that matches counts, and each makes a
    group after the one of the others. Raises ValueError for one that is left without parameters.
    """
    groups = _net_groups(split, lr, lr_factors)
    if split.reg:
        own_lr = {} if reg_lr is None else {"lr": reg_lr}
        groups.append({"name": REGULARIZER, "params": list(split.reg.values()), **own_lr})
    return Optimizers(net=factory(groups), aux=_aux_optimizer(split, aux_lr), split=split)


def _net_groups(split: ParameterSplit, lr: float, lr_factors: dict[str, float]) -> list[dict[str, Any]]:
    left = dict(split.net)
    special = []
    for pattern, factor in lr_factors.items():
        names = [name for name in left if fnmatchcase(name, pattern)]
        if not names:
            raise ValueError(f"lr_factors: {pattern!r} matches no trainable parameter that an earlier pattern left")
        special.append({"name": NET, "params": [left.pop(name) for name in names], "lr": factor * lr})
    if not left:
        raise ValueError("lr_factors: every parameter has a factor; change lr instead of all of them")
    return [{"name": NET, "params": list(left.values())}, *special]


def _aux_optimizer(split: ParameterSplit, lr: float) -> torch.optim.Optimizer | None:
    """Adam as in CompressAI's examples. Quantiles only follow the density, so nothing but the rate is an option."""
    if not split.aux:
        return None
    group = {"name": AUX, "params": list(split.aux.values())}
    return adam([group], lr=lr, betas=[0.9, 0.999], eps=1e-8, weight_decay=0.0)


def clip_gradients(optimizers: Optimizers, max_norm: float | None) -> dict[str, Tensor]:
    """Scale each group's gradients to an L2 norm of at most `max_norm`, by its own norm; None scales nothing.

    Returns the norms before, scalars on the gradients' device (no host sync), by group: "net", "regularizer", "aux".
    Groups are apart so that a regularizer's spike cannot shrink the codec's step. A group without gradients has
    norm 0; a norm that is not finite makes the group's gradients NaN, so that a check after clipping finds it.
    """
    norms = {}
    for group, parameters in optimizers.split.groups().items():
        gradients = [parameter.grad for parameter in parameters.values() if parameter.grad is not None]
        if not gradients:  # of none torch has the norm on the CPU
            norms[group] = next(iter(parameters.values())).new_zeros(())
            continue
        norms[group] = torch.nn.utils.get_total_norm(gradients, foreach=True)
        if max_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(parameters.values(), max_norm, norms[group], foreach=True)
    return norms
