"""`same`: whether two runs of one training are the same."""

import argparse

from lic_exp import exit_codes
from lic_exp.cli.arguments import add_runs
from lic_exp.runs.run import Run, find_run
from lic_exp.runs.sameness import compare_runs
from lic_exp.saying import say, show

SUMMARY = "whether two runs logged the same to the last bit, and were evaluated the same"
DESCRIPTION = (
    "Compare what two runs logged, to the last bit, and the rows of the evaluations that the first one has; times and "
    f"speeds are left out. Exit code {exit_codes.FAILED}: they are not the same."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="run folder, also of a results folder, signature, or its beginning")
    parser.add_argument("other", metavar="OTHER", help="the run that is compared with it")
    add_runs(parser)


def run(options: argparse.Namespace) -> int:
    return tell(find_run(options.run, options.runs), find_run(options.other, options.runs))


def tell(one: Run, other: Run) -> int:
    """Compare, and say what came of it. Returns the exit code."""
    found = compare_runs(one, other)
    show(f"{other.folder} beside {one.folder}:", *found.lines)
    say(*found.why)
    show("not the same" if found.differs else "the same")
    return exit_codes.FAILED if found.differs else exit_codes.DONE
