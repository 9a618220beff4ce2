"""Going on from a checkpoint of another run: its last one, or one in the middle, where a branch begins."""

from lic_exp.training.checkpoint import Checkpoints
from lic_exp.training.trainer import Trainer


def take_over(trainer: Trainer, parent: Checkpoints, step: int | None = None) -> None:
    """Stand where another run stood after so many steps, None: its last checkpoint.

    Its best weights stay the best until they are beaten, but for those that it came to only later. Raises ValueError
    where no step is left to make, CheckpointError where the checkpoint cannot be read.
    """
    state = parent.load_newest() if step is None else parent.load_step(step)
    if state is None or state["step"] >= trainer.max_steps:
        done = "no checkpoint" if state is None else f"{state['step']} steps done"
        raise ValueError(f"run {parent.identity} has {done}; an extension to {trainer.max_steps} steps needs fewer")
    trainer.load_state_dict(state)
    best = parent.load_best()
    if best["step"] <= trainer.step:
        trainer.checkpoints.save_best({"step": best["step"], "codec": best["codec"]})
    else:
        trainer.best = float("inf")
