"""What came of a started run, for people and as an exit code."""

import gc
from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import Console

from lic_exp import exit_codes
from lic_exp.config.errors import ConfigError
from lic_exp.runs.rank_place import is_follower
from lic_exp.saying import say
from lic_exp.surroundings import told_by_path

if TYPE_CHECKING:
    from lic_exp.evaluation.unfinished import DamagedImagesError, EvaluationError

TOGETHER = (exit_codes.PREEMPTED, exit_codes.DIVERGED)


def guarded(action: Callable[[], object], console: Console) -> int:
    """Do it, and say what came of it. Returns the exit code."""
    gc.enable()  # launch.py turned it off for the start-up
    try:
        action()
    except ConfigError as error:
        console.print(*error.report().splitlines(), sep="\n", markup=False, highlight=False, soft_wrap=True)
        return exit_codes.CONFIG
    except Exception as error:  # noqa: BLE001 (every outcome has its exit code)
        code = _outcome(error, console)
        # What all ranks end by at once, the first one says, and whoever has started them ends it where another fails.
        return exit_codes.DONE if is_follower() and code in TOGETHER else code
    return exit_codes.DONE


def _outcome(error: Exception, console: Console) -> int:
    """Say how a started run ended, and give its exit code."""
    # Whatever raised one of these has loaded torch already.
    from lic_exp.data.images import ImageError
    from lic_exp.divergence import DivergedError
    from lic_exp.evaluation.unfinished import EvaluationError
    from lic_exp.models.coding_error import CodingError
    from lic_exp.models.files import CheckpointError
    from lic_exp.runs.attempt import AttemptError
    from lic_exp.runs.lock import RunBusyError, RunGoneError
    from lic_exp.runs.rank_watch import RankLostError
    from lic_exp.training.preempted import Preempted
    from lic_exp.training.rank_equality import RanksDifferError

    for kind, code in (
        (Preempted, exit_codes.PREEMPTED),
        (DivergedError, exit_codes.DIVERGED),
        (RunBusyError, exit_codes.BUSY),
        (RunGoneError, exit_codes.FAILED),
        (AttemptError, exit_codes.FAILED),
        (RankLostError, exit_codes.FAILED),
        (RanksDifferError, exit_codes.FAILED),
        (CheckpointError, exit_codes.FAILED),
        (ImageError, exit_codes.FAILED),
        (EvaluationError, exit_codes.FAILED),
        (CodingError, exit_codes.FAILED),
    ):
        if isinstance(error, kind):
            console.print(str(error), markup=False, highlight=False, soft_wrap=True)
            return code
    if isinstance(error, OSError) and (said := told_by_path(error)):
        console.print(said, markup=False, highlight=False, soft_wrap=True)
        return exit_codes.FAILED
    # Hydra would shorten the traceback to the part that helps nobody.
    console.print_exception()
    return exit_codes.FAILED


def said_of_evaluation(error: "DamagedImagesError | EvaluationError") -> int:
    """Say why images were not evaluated. Returns the exit code: what cannot be read is of the command."""
    from lic_exp.evaluation.unfinished import DamagedImagesError

    say(str(error))
    return exit_codes.CONFIG if isinstance(error, DamagedImagesError) else exit_codes.FAILED
