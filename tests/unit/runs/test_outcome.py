"""What came of a run: the exit code, and one line instead of a traceback where the error is no bug of ours."""

import errno
import io
import os

import pytest
from rich.console import Console

from lic_exp import exit_codes
from lic_exp.divergence import DivergedError
from lic_exp.evaluation.evaluator import EvaluationError
from lic_exp.models.coding_error import CodingError
from lic_exp.models.files import CheckpointError
from lic_exp.runs.lock import RunBusyError
from lic_exp.runs.outcome import guarded


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DivergedError("a weight is not finite", 3), exit_codes.DIVERGED),
        (RunBusyError("this process trains run 0123 already"), exit_codes.BUSY),
        (CheckpointError("best.pt is gone"), exit_codes.FAILED),
        (EvaluationError("image 'a.png': CodingError: symbols beyond 2^26"), exit_codes.FAILED),
        (CodingError("quantiles ask for tables of nan symbols"), exit_codes.FAILED),
    ],
)
def test_an_end_that_is_no_bug_is_one_line(error, code):
    def action():
        raise error

    said = io.StringIO()
    assert guarded(action, Console(file=said, width=200)) == code
    assert said.getvalue() == f"{error}\n"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EISDIR, errno.EMFILE])
def test_what_disks_rights_and_limits_refuse_is_told_by_the_path(number):
    def action():
        raise OSError(number, os.strerror(number), "/data/runs/0123/metrics.jsonl")

    said = io.StringIO()
    assert guarded(action, Console(file=said, width=200)) == exit_codes.FAILED
    assert said.getvalue() == f"/data/runs/0123/metrics.jsonl: {os.strerror(number)}\n"


def test_an_error_of_ours_has_its_traceback():
    def action():
        raise FileNotFoundError(errno.ENOENT, "no such file", "ours")

    said = io.StringIO()
    assert guarded(action, Console(file=said, width=200)) == exit_codes.FAILED
    assert "Traceback" in said.getvalue()
