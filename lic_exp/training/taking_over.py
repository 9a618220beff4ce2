"""Going on from a checkpoint of another run: that of its end, or one in the middle, where a branch begins."""

from lic_exp.training.checkpoint import Checkpoints
from lic_exp.training.trainer import Trainer


def take_over(trainer: Trainer, parent: Checkpoints, step: int) -> None:
    """Stand where another run stood after so many steps, by that very checkpoint: another would be another run.

    Its best weights stay the best until they are beaten, but for those that it came to only later. Raises ValueError
    where no step is left to make, CheckpointError where the checkpoint is not there or cannot be read.
    """
    state = parent.load_step(step)
    if step >= trainer.max_steps:
        raise ValueError(
            f"run {parent.identity} has {step} steps done; an extension to {trainer.max_steps} steps needs fewer"
        )
    trainer.load_state_dict(state)
    best = parent.load_best()
    if best["step"] <= trainer.step:
        trainer.checkpoints.save_best({"step": best["step"], "codec": best["codec"]})
    else:
        trainer.best = float("inf")
