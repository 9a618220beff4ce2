"""What `eval` and `verify` leave with where images could not be evaluated."""

from lic_exp import exit_codes
from lic_exp.evaluation.unfinished import DamagedImagesError, EvaluationError
from lic_exp.saying import say


def said_of_evaluation(error: DamagedImagesError | EvaluationError) -> int:
    """Say what happened. Returns the exit code: what cannot be read is of the command, what cannot be coded is not."""
    say(str(error))
    return exit_codes.CONFIG if isinstance(error, DamagedImagesError) else exit_codes.FAILED
