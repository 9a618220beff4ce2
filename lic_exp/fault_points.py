"""Moments at which a test has a process killed, since random kills miss those that last a millisecond.

A test names one in the environment of a process that it starts, as POINT:N for its Nth time. No config and no command
line can, and without that variable `reached` does nothing.
"""

import os
import signal

VARIABLE = "LIC_EXP_TEST_KILL_AT"

_times: dict[str, int] = {}


def reached(point: str) -> None:
    """Be killed here, as by SIGKILL from outside, if that is what a test has asked for."""
    wanted = os.environ.get(VARIABLE)
    if wanted is None:
        return
    _times[point] = _times.get(point, 0) + 1
    if wanted == f"{point}:{_times[point]}":
        os.kill(os.getpid(), signal.SIGKILL)
