"""A matplotlib figure as an SVG that can stand in a page beside others."""

import re
from typing import TYPE_CHECKING

from lic_exp.plot_style import encoded

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = re.compile(r'(?<=\bid=")(?=[^"]+")|(?<=href="#)|(?<=url\(#)')
"""Before the name of a part of a drawing, where it is given and where it is used."""

SIZE = re.compile(r'(<svg[^>]*?) width="([\d.]+)pt" height="[\d.]+pt"')
METADATA = re.compile(r"<metadata>.*?</metadata>\s*", re.DOTALL)
PAGE = re.compile(r'<g id="patch_1">.*?</g>\s*', re.DOTALL)
"""The white page behind the drawing, which comes first."""


def inline(figure: "Figure", number: int) -> str:
    """The SVG of a figure, without its own size, its page, and what only files have. number: no two of a page share it.

    Names of its parts begin with that number, since a page has one of each.
    """
    text = encoded(figure, ".svg").decode()
    text = METADATA.sub("", text[text.index("<svg") :], count=1)
    text = PAGE.sub("", text, count=1)
    text = SIZE.sub(r"\1", text, count=1)
    return NAME.sub(f"f{number}-", text)
