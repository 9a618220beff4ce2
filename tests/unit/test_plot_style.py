"""The look of figures: told apart in grey, names as they are, the same bytes of the same figure."""

import re
from itertools import pairwise

import pytest

from lic_exp.plot_style import (
    LINE,
    MOST_LINES,
    SUFFIXES,
    encoded,
    in_style,
    legend_below,
    legend_name,
    looks,
    name_axes,
    new_figure,
)


@in_style
def drawn(names=("a", "b"), title=""):
    figure = new_figure(5, 3)
    axes = figure.subplots()
    for name, look in zip(names, looks(len(names)), strict=True):
        axes.plot([0, 1], [1, 2], label=legend_name(name), **look.options)
    name_axes(axes, "rate $x$", "quality", title)
    legend_below(figure, [axes])
    return figure


def test_curves_differ_without_their_colours():
    shown = looks(20)
    assert len({(look.marker, look.line) for look in shown}) == 20
    for one, other in pairwise(shown):
        assert one.marker != other.marker
        assert one.line != other.line
        assert one.colour != other.colour


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_figure_gets_the_same_bytes(suffix):
    assert encoded(drawn(), suffix) == encoded(drawn(), suffix)


@pytest.mark.parametrize("name", ["_hidden", r"$\frac$", "a\x00b", "<&>", "名"])
def test_names_are_shown_as_they_are(name):
    shown = re.sub("\\s+", " ", encoded(drawn([name, "b"], name), ".svg").decode())
    text = name.replace("\x00", "\\x00").replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert shown.count(f">{text}</text>") + shown.count(f"> {text}</text>") >= 2
    assert ">rate $x$</text>" in shown


@pytest.mark.parametrize("name", ["x" * 250, "key=value, " * 20, "y" * 5000])
def test_long_names_take_several_lines(name):
    lines = legend_name(name).split("\n")
    assert len(lines) <= MOST_LINES
    assert max(map(len, lines)) <= LINE
    whole = "".join(lines).replace(" ", "")
    assert whole == name.replace(" ", "") or whole.endswith("…")
    assert encoded(drawn([name, "b"], name), ".png")
