"""What each scale of a hierarchical codec contributes, band by band and over training: are the scales apart, and when?

Runs with evaluation.diagnosis=N have it along their training; of others the best weights are diagnosed first, by
`python -m lic_exp diagnose`. The first run is what the others are compared with.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.arguments import RUN_HELP, add_runs, console
from analysis.errors import AnalysisError
from lic_exp.command_parser import finite_number
from lic_exp.saying import say, show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analysis.diagnoses import DiagnosedRun
    from analysis.named_runs import NamedRun


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="+", metavar="RUN", help=RUN_HELP)
    parser.add_argument("--quality", type=finite_number(0, 1e6), metavar="Q", help="default: the middle one")
    parser.add_argument("--images", metavar="NAME", help="those of `diagnose --data` (default: the run's)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="figures as .png and .svg, and numbers as .csv")
    add_runs(parser)


def run(options: argparse.Namespace) -> int:
    from analysis.diagnoses import unlike
    from analysis.out_places import make_folder
    from analysis.run_places import no_store
    from analysis.spectral_text import answers

    no_store(options.runs, "diagnoses")
    if options.out is not None:
        make_folder(options.out)
    courses = _courses(options)
    for course in courses:
        _print_scales(course)
    say(*unlike(courses))
    show(*answers(courses))
    if options.out is not None:
        from analysis.spectral_files import write_courses

        write_courses(options.out, courses)
        show(f"written: {options.out}")
    return 0


def _courses(options: argparse.Namespace) -> "list[DiagnosedRun]":
    from analysis.diagnoses import made_course
    from analysis.named_runs import begun, several_named

    found = [one for name in options.names for one in several_named(name, options.runs)]
    meant = {run.folder.resolve(): run for one in found for run in begun(one)}
    if not meant:
        raise AnalysisError("no run has begun")
    by_itself = {run.folder.resolve() for one in found if one.kind == "run" for run in one.runs}
    courses, refused = [], list[str]()
    for (place, run), label in zip(meant.items(), _labels(list(meant.values())), strict=True):
        try:
            courses.append(made_course(run.folder, label, quality=options.quality, images=options.images or ""))
        except AnalysisError as error:
            if place in by_itself:
                raise
            refused.append(str(error))
    if not courses:
        raise AnalysisError("; ".join(refused))
    say(*(f"passed over: {text}" for text in refused))
    return courses


def _labels(runs: "Sequence[NamedRun]") -> list[str]:
    """What runs are called; with their folder those that are called alike, as one signature in two places."""
    called = [run.label or run.signature for run in runs]
    return [
        f"{name} ({run.folder})" if called.count(name) > 1 else name for name, run in zip(called, runs, strict=True)
    ]


def _print_scales(course: "DiagnosedRun") -> None:
    from rich.table import Table

    from analysis.spectral_text import COLUMNS, scale_rows, title_of
    from lic_exp.console import styled

    table = Table(title=styled(title_of(course)))
    for column in COLUMNS:
        table.add_column(column, justify="left" if column == COLUMNS[0] else "right")
    for row in scale_rows(course):
        table.add_row(*row)
    console(160).print(table)
