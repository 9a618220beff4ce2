"""Where training stands: what schedules and regularizers are told before every step. Imports no torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Where training stands before a step: steps and epochs done, and the share of all steps done, in [0, 1)."""

    step: int
    epoch: int
    share: float
