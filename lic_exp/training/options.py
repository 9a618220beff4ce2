"""What the loop is told."""

from dataclasses import dataclass
from typing import Literal

from lic_exp.training.skipping import Policy


@dataclass(frozen=True)
class TrainerOptions:
    """How often the loop does what [steps], and what it does when a number is not finite.

    on_nonfinite: "fail"; "skip" the update; "rollback" to the last checkpoint and skip it there.
    nonfinite_budget: how many updates may be skipped in the whole run.
    compare_ranks_every_steps: how often it is made sure that several ranks train the same; also before checkpoints.
    ema_decay: of the averaged weights, None for none. eval_weights: which give validation, best and evaluation.
    """

    log_every_steps: int
    validate_every_steps: int
    checkpoint_every_steps: int
    compare_ranks_every_steps: int
    on_nonfinite: Policy
    nonfinite_budget: int
    ema_decay: float | None
    eval_weights: Literal["raw", "ema"]
