"""How a training step is compiled. What is not called in training, validation and coding, stays as it was written."""

from typing import Any

from torch import nn

from lic_exp.private_interfaces import allow_graphs
from lic_exp.training.objective import Objective


def compile_objective(objective: Objective, how: bool | str, backend: Any = "inductor") -> None:
    """Compile a codec's repeated blocks ("blocks"), or its forward pass with the criterion (True, "graphs").

    Raises ValueError where a codec has no repeated blocks.
    """
    if how == "blocks":
        blocks = outermost(objective.codec, objective.codec.repeated)
        if not blocks:
            raise ValueError(f"{type(objective.codec).__name__} names no repeated blocks; full, or off")
        allow_graphs(len(blocks))
        for block in blocks:
            block.compile(backend=backend, dynamic=False)
    elif how:
        objective.compile_judgement(backend)


def outermost(module: nn.Module, kinds: tuple[type[nn.Module], ...]) -> list[nn.Module]:
    """The modules of these kinds that are in no other of them."""
    if isinstance(module, kinds):
        return [module]
    return [found for child in module.children() for found in outermost(child, kinds)]
