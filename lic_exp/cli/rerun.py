"""`rerun`: a run trained anew from its config, and compared with what it found."""

import argparse
import os

from lic_exp import exit_codes
from lic_exp.cli.arguments import add_run
from lic_exp.cli.same import tell
from lic_exp.cli.starting import start
from lic_exp.runs.rerunning import recorded_threads, rerun_config, rerun_line
from lic_exp.runs.run import Run, find_run
from lic_exp.saying import say

SUMMARY = "train a run anew from its config, and compare: rerun results/table2/SIGNATURE"
DESCRIPTION = (
    "Train and evaluate a run anew, from the config in its folder, as one of a results folder, in another folder of "
    "runs; then compare as `same` does. What is there of it already goes on, or is compared at once. Overrides may be "
    f"of keys that no run's name has. Exit code {exit_codes.FAILED}: it is not the same."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("overrides", nargs="*", metavar="OVERRIDE", help="where its images are: data.train=FOLDER")
    parser.add_argument("--into", default="reruns", metavar="FOLDER", help="where it is trained (default: reruns)")


def run(options: argparse.Namespace) -> int:
    former = find_run(options.run, options.runs)
    config = rerun_config(former, options.into, options.overrides)
    threads = recorded_threads(former)
    if threads is not None and os.environ.get("OMP_NUM_THREADS") != str(threads):
        os.environ["OMP_NUM_THREADS"] = str(threads)  # read when torch is imported
        say(f"with {threads} CPU threads, as on record: sums depend on it")
    code = start(config, rerun_line(former, options.into, options.overrides))
    made = Run(os.path.join(options.into, former.signature))
    if code != exit_codes.DONE and made.state != former.state:
        return code
    return tell(former, made)
