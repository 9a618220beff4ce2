"""Processes told apart from others of the same pid."""

import os

from lic_exp.processes import identity, lives


def test_a_pid_that_was_given_to_another_process_is_not_taken_for_ours():
    mine = identity(os.getpid())
    assert lives(mine)
    assert not lives(mine | {"ticks": mine["ticks"] + 1})
    assert not lives(mine | {"host": "elsewhere"})
