"""How a training step is compiled. What is not called in training, validation and coding, stays as it was written."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from lic_exp.private_compiler import allow_graphs, graph_pass, known_settings
from lic_exp.training.objective import Objective
from lic_exp.training.weight_gradients import merge_weight_gradients

INDUCTOR = "inductor"

ON_GPU: Mapping[str, Any] = {"combo_kernels": True}
"""What the compiler is told for a GPU, where launches are what a step is made of: kernels that do not wait for each
other become one. benchmarks/RESULTS.md has what it saves."""

KINDS = 32
"""So many graphs may be made of one piece of code: for each size that batches have, with a gradient and without."""

BEFORE_FUSION = "post_grad_custom_pre_pass"
"""The setting that names what changes each graph, forward and backward, before kernels are made of it."""


def compile_objective(objective: Objective, how: bool | str, backend: Any = INDUCTOR) -> None:
    """Compile a codec's repeated blocks ("blocks"), or its forward pass with the criterion (True, "graphs").

    Raises ValueError where a codec has no repeated blocks.
    """
    options = settings(next(objective.parameters()).device.type) if backend == INDUCTOR else None
    if how == "blocks":
        blocks = outermost(objective.codec, objective.codec.repeated)
        if not blocks:
            raise ValueError(f"{type(objective.codec).__name__} names no repeated blocks; full, or off")
        allow_graphs(len(blocks) * KINDS)
        for block in blocks:
            block.compile(backend=backend, dynamic=False, options=options)
    elif how:
        allow_graphs(KINDS)
        objective.compile_judgement(backend, options)


def settings(device: str) -> dict[str, Any] | None:
    """Of torch's own compiler, for a device of this type; those that this torch knows."""
    if device != "cuda":
        return None
    return known_settings({**ON_GPU, BEFORE_FUSION: graph_pass(merge_weight_gradients)})


def outermost(module: nn.Module, kinds: tuple[type[nn.Module], ...]) -> list[nn.Module]:
    """The modules of these kinds that are in no other of them."""
    if isinstance(module, kinds):
        return [module]
    return [found for child in module.children() for found in outermost(child, kinds)]
