"""A report as one HTML page that needs nothing else: its style, figures and photos are in it."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.report.parts import ReportContent
from lic_exp.text import visible

if TYPE_CHECKING:
    from jinja2 import Template

FOLDER = Path(__file__).parent


def page(report: ReportContent) -> str:
    """The page. Every text in it is shown as text, whoever wrote it."""
    return _template().render(report=report, style=(FOLDER / "page.css").read_text(encoding="utf-8"))


@cache
def _template() -> "Template":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    environment.filters["drawing"] = Markup  # an SVG that matplotlib wrote
    return environment.get_template("page.html")
