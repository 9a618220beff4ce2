"""Weights in autocast's numbers, made by one call for all of them before a forward pass.

Autocast itself casts each weight where it is used: a kernel per weight, forward and backward, which a GPU takes as long
to be told as to compute with it. Which weights may be given in its numbers, a first forward pass tells.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from lic_exp.models.base import CodecOutput
from lic_exp.private_torch import copy_all, pass_for_parameters, watched, weights_by_module
from lic_exp.sections import FORWARD, Section

log = logging.getLogger("lic_exp.training")


class Casts:
    """The weights of a codec that autocast would cast to `dtype` and with which nothing else is done.

    dtype: None where there is no autocast, and nothing to be done. learnt: whether it is known which weights they are.

    Values and gradients are those of autocast, bit by bit. But where a weight is cast by several views of it, its
    gradients are summed in `dtype`, as autocast sums those of a weight that is used whole.
    """

    def __init__(self, codec: nn.Module, dtype: torch.dtype | None) -> None:
        self.codec = codec
        self.dtype = dtype
        self.learnt = dtype is None
        self.places: list[tuple[dict[str, nn.Parameter | None], str]] = []

    def learn(self, forward: Callable[[], CodecOutput]) -> None:
        """Find them by a forward pass of the codec under autocast that is not compiled and leaves nothing behind.

        Another shows whether the codec takes them so: where it raises, all is left to autocast.
        """
        if self.dtype is None:
            forward()
            return
        uses = _Uses(self.codec.parameters(), self.dtype)
        with watched(uses.see):
            output = forward()
        views = chain.from_iterable(output.latent_views.values())
        uses.keep(output.x_hat, *output.bits.values(), *output.latents, *views)
        self.places = [
            (weights, name)
            for weights in weights_by_module(self.codec)
            for name, weight in weights.items()
            if weight is not None and uses.only_cast(weight)
        ]
        self.learnt = True
        try:
            with self.in_force():
                forward()
        except Exception as error:  # noqa: BLE001 (of a codec that anybody may have written)
            log.info("weights are cast one by one: given otherwise, %s", " ".join(f"{error!r}".split())[:200])
            self.places = []

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """Inside, the codec's modules find tensors of `dtype` in the places of these weights, which they are made of.

        For a forward pass; the backward pass may come later, and finds its way to the weights.
        """
        if self.dtype is None or not self.places:
            yield
            return
        own = [weights[name] for weights, name in self.places]
        once = {id(weight): weight for weight in own if weight is not None}
        low = _cast(once, self.dtype)
        try:
            for (weights, name), weight in zip(self.places, own, strict=True):
                weights[name] = low[id(weight)]  # type: ignore[assignment]
            yield
        finally:
            for (weights, name), weight in zip(self.places, own, strict=True):
                weights[name] = weight


class _Uses:
    """What is done below autocast with weights of float32: with their own memory, or with views of it.

    cast, kept: the memory of those that are cast to `dtype`, and of those of which something else is made.
    """

    def __init__(self, weights: Iterable[nn.Parameter], dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.sizes = {_memory(weight): weight.numel() for weight in weights if weight.dtype == torch.float32}
        self.cast: set[int] = set()
        self.kept: set[int] = set()

    def only_cast(self, weight: Tensor) -> bool:
        memory = _memory(weight)
        return memory in self.cast and memory not in self.kept

    def keep(self, *tensors: Tensor) -> None:
        self.kept.update(memory for memory in map(_memory, tensors) if memory in self.sizes)

    def see(self, given: list[Tensor], cast_to: torch.dtype | None, view: bool) -> None:
        if cast_to == self.dtype and self._whole(given[0]):
            self.cast.add(_memory(given[0]))
        elif not view:
            self.keep(*given)

    def _whole(self, tensor: Tensor) -> bool:
        """Not spread over more elements, whose gradients autocast would have summed in float32."""
        return tensor.numel() <= self.sizes.get(_memory(tensor), 0)


class _Cast(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, dtype: torch.dtype, *weights: Tensor) -> tuple[Tensor, ...]:
        context.set_materialize_grads(False)
        context.weights = weights
        return tuple(_copies(weights, like=weights, dtype=dtype))

    @staticmethod
    def backward(context: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        found = {place: gradient for place, gradient in enumerate(gradients) if gradient is not None}
        like = [context.weights[place] for place in found]
        wide = dict(zip(found, _copies(list(found.values()), like=like, dtype=torch.float32), strict=True))
        return (None, *(wide.get(place) for place in range(len(gradients))))


@Section(FORWARD)
def _cast(weights: dict[int, nn.Parameter], dtype: torch.dtype) -> dict[int, Tensor]:
    """By the same keys. Those that are not trained have no part in the backward pass."""
    trained = {key: weight for key, weight in weights.items() if weight.requires_grad}
    frozen = {key: weight for key, weight in weights.items() if not weight.requires_grad}
    fixed = _copies(list(frozen.values()), like=list(frozen.values()), dtype=dtype)
    moving = _Cast.apply(dtype, *trained.values())
    pass_for_parameters([*fixed, *moving])
    return dict(zip(frozen, fixed, strict=True)) | dict(zip(trained, moving, strict=True))


@torch.no_grad()
def _copies(values: Sequence[Tensor], *, like: Sequence[Tensor], dtype: torch.dtype) -> list[Tensor]:
    """In other numbers, and in memory as `like`: gradients as their weights, or they would be moved again."""
    places = [torch.empty_like(one, dtype=dtype) for one in like]
    copy_all(places, values)
    return places


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
