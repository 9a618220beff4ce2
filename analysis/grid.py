"""A table of text for people: on the console, and as Markdown, LaTeX and HTML."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

LATEX = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}

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
            return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

        marks = ["---", *["---:"] * (len(self.header) - 1)]
        body = [line(self.header), line(marks), *map(line, self.rows)]
        return "\n".join([f"**{self.title}**", "", *body, "", *(f"- {note}" for note in self.notes)]) + "\n"

    def latex(self) -> str:
        """A table for the package booktabs."""

        def line(cells: Sequence[str]) -> str:
            return " & ".join(map(_tex, cells)) + r" \\"

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
            return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

        title = html.escape(self.title)
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
                *(f"<li>{html.escape(note)}</li>" for note in self.notes),
                "</ul></body></html>",
                "",
            ]
        )


def _tex(text: str) -> str:
    return "".join(LATEX.get(sign, sign) for sign in text)
