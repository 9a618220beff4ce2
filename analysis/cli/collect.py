"""The results of a study, small enough to be committed: of each run what tables and reports are made of.

Takes runs, sweeps or tables into a results folder, beside what is there. Nothing in it names a machine or a person, it
has no weights and no pictures, and the same runs make the same bytes. `--from FOLDER` of the other commands reads it.
"""

import argparse

from analysis.arguments import RUN_HELP, add_runs
from lic_exp.saying import say, show
from lic_exp.text import size_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", metavar="NAME", nargs="+", help=RUN_HELP)
    parser.add_argument("-o", "--out", required=True, metavar="FOLDER", help="the results folder: results/table2")
    parser.add_argument("--scale", help="of a table: that study of it; default: the newest")
    parser.add_argument("--study", metavar="DIGITS", help="the same by the beginning of its name")
    add_runs(parser)


def run(options: argparse.Namespace) -> int:
    from analysis.collecting import collect

    made = collect(options.names, options.out, runs=options.runs, scale=options.scale, study=options.study or "")
    say(*made.notes)
    show(
        f"{made.folder}: {made.runs} runs, of which {made.new} were collected now; {size_text(made.size)}, "
        f"{size_text(made.size / max(made.runs, 1))} a run"
    )
    return 0
