"""How a training ends that was asked to."""


class Preempted(Exception):  # noqa: N818 (a state, not an error)
    """Training stopped at a step boundary because it was asked to, and its checkpoint is written."""
