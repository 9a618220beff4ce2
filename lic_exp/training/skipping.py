"""What becomes of updates that are not finite."""

import logging
from typing import Literal

from lic_exp.training.stepper import NonFiniteError

log = logging.getLogger("lic_exp.training")

Policy = Literal["fail", "skip", "rollback"]


class RolledBack(Exception):  # noqa: N818 (control flow)
    """The state is an earlier checkpoint's."""


class SkippedSteps:
    """The steps whose updates were left out, `budget` of them at most; none where the policy is "fail"."""

    def __init__(self, policy: Policy, budget: int) -> None:
        self.policy = policy
        self.budget = budget
        self.steps: set[int] = set()

    def accept(self, error: NonFiniteError) -> None:
        """Count a step among the skipped ones, or raise where it may not be skipped."""
        steps = self.steps | {error.step}
        if self.policy == "fail":
            raise error
        if len(steps) > self.budget:
            budget = f"more than trainer.nonfinite_budget={self.budget} updates were skipped"
            raise NonFiniteError(f"{budget}{self._in_a_row(error.step)}; the last: {error}", error.step) from error
        log.warning("%s; skipped (%d of at most %d)", error, len(steps), self.budget)
        self.steps = steps

    def _in_a_row(self, step: int) -> str:
        """What to say of the steps skipped right before this one: weights that none of them changed."""
        first = step
        while first - 1 in self.steps:
            first -= 1
        if self.policy != "skip" or first == step:
            return ""
        return (
            f", all {step - first + 1} since step {first}: skipping leaves the weights, and from these none is finite"
        )
