"""What an update has made of the batch that it was made of, for an objective that learns from it."""

import torch
from torch import Tensor

from lic_exp.ops.ranks import means
from lic_exp.sections import FORWARD, Section
from lic_exp.training.buffers import FormerBuffers
from lic_exp.training.capture import Parts, Scalars
from lic_exp.training.objective import Objective


@torch.no_grad()
def look_again(objective: Objective, parts: Parts, before: Scalars, updated: Tensor) -> None:
    """The codec's forward pass and its terms once more, and `Objective.after_update` of them.

    What the pass changes is put back; penalties have no part in it. before: the terms of the whole batch before the
    update. updated: whether it was made, a bool scalar on the device. Raises ValueError for a batch in several parts,
    of which terms were made one by one.
    """
    if len(parts) > 1:
        raise ValueError("this criterion looks at whole batches: set trainer.accumulate=1")
    ((x, target, *drawn),) = parts
    former = FormerBuffers(objective)
    with objective.codec.prepared(), Section(FORWARD):
        _, after = objective.judged(x, target, *drawn)
    former.restore()
    objective.after_update(before, objective.completed(means(after)), updated)
