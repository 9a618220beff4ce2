"""A report, made of what a name means."""

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from analysis.errors import AnalysisError
from analysis.report.drawn import Drawings, curves, norms, training
from analysis.report.origin import asked, commands, environment
from analysis.report.parts import Part, ReportContent
from analysis.report.photos import pictures
from analysis.report.results import all_runs, results, troubles
from analysis.report.subject import Subject

if TYPE_CHECKING:
    from analysis.diagnoses import DiagnosedRun

MOST_DIAGNOSED = 2
"""Arms whose spectra are drawn, each takes seconds."""

KINDS = {"run": "Run", "runs": "Runs", "sweep": "Sweep", "table": "Table", "label": "Runs of one label"}


def report_of(subject: Subject, own: str, at: str = "") -> ReportContent:
    """All parts that have something to say. own: the command that makes this; at: its words on where runs are."""
    drawings = Drawings()
    trouble = troubles(subject)
    parts = (
        asked(subject),
        results(subject),
        curves(subject, drawings),
        training(subject, drawings),
        pictures(subject),
        *spectra(subject, drawings),
        replace(trouble, figures=tuple(norms(subject, drawings))),
        all_runs(subject),
        environment(subject),
        commands(subject, own, at),
    )
    title, kind = subject.found.title, KINDS[subject.found.kind]
    if subject.table is not None or subject.found.kind == "run":
        kind = f"{kind} {title}"
        title = subject.arms[0].label if subject.table is None else subject.table.study.table.title
    return ReportContent(
        title,
        kind,
        tuple(_summary(subject)),
        tuple(part for part in parts if not part.is_empty),
    )


def spectra(subject: Subject, drawings: Drawings) -> list[Part]:
    """What the scales contribute, of the first runs that have a spectral diagnosis; none where no run has."""
    from analysis.diagnoses import course_of, unlike
    from analysis.spectral_plots import TITLES, figures_of
    from analysis.spectral_text import answers

    courses, lines = list["DiagnosedRun"](), list[str]()
    for arm in subject.arms:
        for cell in arm.cells:
            try:
                course = course_of(cell.folder, arm.label)
            except AnalysisError as error:
                lines.append(str(error))
                continue
            if course is not None:
                courses.append(course)
                break
        if len(courses) == MOST_DIAGNOSED:
            break
    figures = [
        drawings.figure(f"{TITLES[name]}: {course.label}", figure, is_plate=True)
        for course in courses
        for name, figure in figures_of(course).items()
    ]
    lines += [*unlike(courses), *answers(courses)] if courses else []
    return [Part("Spectra", tuple(lines), figures=tuple(figures))]


def _summary(subject: Subject) -> list[str]:
    cells = [cell for arm in subject.arms for cell in arm.cells]
    states = Counter(str(subject.rows.get(cell.signature, {"state": "not begun"})["state"]) for cell in cells)
    counted = ", ".join(f"{count} {state}" for state, count in states.items())
    found = [f"{len(cells)} runs: {counted}" if cells[1:] else f"1 run: {counted}"]
    manifest = subject.manifest
    made = subject.table.study.made if subject.table is not None else manifest.get("made", "") if manifest else ""
    return found + ([f"launched {made}"] if made else [])
