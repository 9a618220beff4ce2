"""Exit codes of the commands; `docs/states.md` says what each means and what to do."""

DONE = 0
FAILED = 1
CONFIG = 2
DIVERGED = 3
BUSY = 4
# EX_TEMPFAIL of sysexits.h: nothing is wrong, the same command goes on later.
PREEMPTED = 75
# The shell's number for SIGINT.
INTERRUPTED = 130
