"""Since when the speeds that a run has logged are those of intervals: an earlier version logged other ones."""

import pytest

from lic_exp.runs.train import speeds_from
from lic_exp.tracking.run_folder import RunFolder


@pytest.mark.parametrize(
    ("known", "step", "goes_on", "since"),
    [
        (None, 0, False, 0),  # begins
        (None, 40, True, 40),  # was begun by an earlier version
        (0, 40, True, 0),
        (40, 60, True, 40),
        (40, 20, True, 20),  # its newest checkpoint is damaged, and what was logged after the one before is gone
        (40, 0, False, 0),  # begins anew
        (None, 100, False, 100),  # extends another, whose speeds are that one's
    ],
)
def test_what_an_earlier_version_logged_stays_what_it_was(tmp_path, known, step, goes_on, since):
    run = RunFolder(tmp_path)
    run.update_status(state="running", **({} if known is None else {"interval_speeds_from": known}))
    assert speeds_from(run, step, goes_on=goes_on) == since
