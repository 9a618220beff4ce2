"""A table of text for people: on the console, and as Markdown, LaTeX and HTML."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lic_exp.text import visible

if TYPE_CHECKING:
    from rich.table import Table

LATEX = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}

MARKDOWN = re.compile(r"[\\`*<>|~$]|(?<![^\W_])_|_(?![^\W_])|(?<=\])[(:]|&(?=#?\w+;)|^[#+-](?=\s)|(?<=^\d)[.)](?=\s)")
"""What would be more than text. An underscore in a word is not, nor are brackets without an address."""

STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:80rem;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums}"
    "caption{font-weight:600;text-align:left;padding-bottom:.5rem}"
    "th,td{padding:.3rem .8rem;text-align:right;border-bottom:1px solid #ddd;vertical-align:top}"
    "th:first-child,td:first-child{text-align:left}"
    "thead th{border-bottom:2px solid #222;vertical-align:bottom}"
    "ul{color:#555;padding-left:1.2rem}"
)


@dataclass(frozen=True)
class Grid:
    """title, header (n,), rows of cells (n,), and notes below. The first column is left-aligned, others right."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def rich(self) -> "Table":
        from rich.table import Table

        from lic_exp.console import styled

        table = Table(title=styled(self.title), title_justify="left")
        for place, name in enumerate(self.header):
            table.add_column(styled(name), justify="right" if place else "left")
        for row in self.rows:
            table.add_row(*map(styled, row))
        return table

    def markdown(self) -> str:
        def line(cells: Sequence[str]) -> str:
            return "| " + " | ".join(map(markdown_text, cells)) + " |"

        marks = ["---", *["---:"] * (len(self.header) - 1)]
        body = [line(self.header), line(marks), *map(line, self.rows)]
        notes = [f"- {markdown_text(note)}" for note in self.notes]
        return "\n".join([f"**{markdown_text(self.title)}**", "", *body, "", *notes, ""])

    def latex(self) -> str:
        """A table for the package booktabs."""

        def line(cells: Sequence[str]) -> str:
            text = " & ".join(map(_tex, cells))
            # Else the end of the row before would take these for its own.
            return f"{'{}' if text.startswith(('[', '*')) else ''}{text} \\\\"

        return "\n".join(
            [
                r"\begin{table}",
                rf"\caption{{{_tex(self.title)}}}",
                rf"\begin{{tabular}}{{l{'r' * (len(self.header) - 1)}}}",
                r"\toprule",
                line(self.header),
                r"\midrule",
                *map(line, self.rows),
                r"\bottomrule",
                r"\end{tabular}",
                *(rf"\par\footnotesize {_tex(note)}" for note in self.notes),
                r"\end{table}",
                "",
            ]
        )

    def html(self) -> str:
        """A page of its own."""

        def line(tag: str, cells: Sequence[str]) -> str:
            return "<tr>" + "".join(f"<{tag}>{_html(cell)}</{tag}>" for cell in cells) + "</tr>"

        title = _html(self.title)
        return "\n".join(
            [
                "<!doctype html>",
                f'<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style></head>',
                "<body>",
                f"<table><caption>{title}</caption>",
                f"<thead>{line('th', self.header)}</thead>",
                "<tbody>",
                *(line("td", row) for row in self.rows),
                "</tbody></table>",
                "<ul>",
                *(f"<li>{_html(note)}</li>" for note in self.notes),
                "</ul></body></html>",
                "",
            ]
        )


def markdown_text(text: str) -> str:
    """A text as Markdown that shows just that, on one line."""
    return MARKDOWN.sub(lambda found: f"\\{found[0]}", visible(text))


def _tex(text: str) -> str:
    return "".join(LATEX.get(sign, sign) for sign in visible(text))


def _html(text: str) -> str:
    return html.escape(visible(text))
