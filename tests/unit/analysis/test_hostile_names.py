"""Whatever a label, a curve or a run is called, tables and pictures show it as text."""

import json
import re
from html.parser import HTMLParser

import pytest
from hostile import WORDS, is_harmless
from run_folders import config_of, write_run

from analysis.__main__ import main
from analysis.cli.complexity import as_text
from analysis.complexity import CodecCost
from analysis.curve_files import Curve
from analysis.grid import Grid, markdown_text
from analysis.plots import rd_plot
from lic_exp.text import visible

TEXTS = (
    *WORDS.values(),
    "[x](http://a)",
    "<script>alert(1)</script>",
    "a|b",
    "`c`",
    "**d** _e_ ~~f~~ $g$",
    "&lt;",
    "[1mm]",
    "* h",
)


@pytest.fixture(params=range(len(TEXTS)))
def text(request):
    """By its number, since not every text can be a parameter."""
    return TEXTS[request.param]


class Cells(HTMLParser):
    """The texts of a page, and its tags."""

    def __init__(self, page):
        super().__init__()
        self.texts, self.tags = [], set()
        self.feed(page)

    def handle_data(self, data):
        self.texts.append(data)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)


def grid_of(text):
    return Grid(text, ("", text), ((text, text), (text, "1")), (text,))


def test_in_a_page(text):
    page = Cells(grid_of(text).html())
    assert page.texts.count(visible(text)) == 7
    assert "script" not in page.tags


def test_in_markdown(text):
    shown = grid_of(text).markdown()
    assert is_harmless(shown)
    title, _, *rows, _, note, _ = shown.split("\n")
    assert [len(re.split(r"(?<!\\)\|", row)) for row in rows] == [4] * 4
    assert (title, note) == (f"**{markdown_text(text)}**", f"- {markdown_text(text)}")
    bare = re.sub(r"\\[^\w\s]", "", markdown_text(text))
    assert not re.search(r"[`*<>|~$]|\]\(|&lt;", bare)
    assert re.sub(r"\\([^a-zA-Z0-9\s])", r"\1", markdown_text(text)) == visible(text)


@pytest.mark.parametrize("plain", ["val/rd_loss", "-1.23 [-2.00, 0.30]", "R + lmbda D %", "3/5 seeds", "N=128, M=192"])
def test_what_is_text_already_stays(plain):
    assert markdown_text(plain) == plain


def test_in_latex(text):
    shown = grid_of(text).latex()
    assert is_harmless(shown)
    rows = shown.split("\n")
    assert not any(row.startswith(("[", "*")) for row in rows)
    assert all(row.count(" & ") == 1 for row in rows if row.endswith(r"\\"))


def test_in_a_table_of_complexities(text):
    cost = CodecCost(text, "run", 10, 1.0, None, None, None, None, text, text)
    assert is_harmless(as_text([cost], ".md"))
    assert is_harmless(as_text([cost], ".csv"))
    assert json.loads(as_text([cost], ".json"))[0]["note"] == text


def test_in_the_legend_of_a_plot(tmp_path):
    """All at once, since drawing takes a while; two of them would be left out, and two be mathematics."""
    names = ("_hidden", "$\\frac$", "a\x00b", "<&>")
    rd_plot(tmp_path / "a.svg", [Curve(name, {"bpp": (0.5, 1.0), "psnr": (30.0, 32.0)}) for name in names])
    drawn = (tmp_path / "a.svg").read_text()
    for name in ("_hidden", "$\\frac$", "a\\x00b", "&lt;&amp;&gt;"):
        assert f"> {name}</text>" in drawn or f">{name}</text>" in drawn


def test_in_what_commands_say(text, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    word = text.encode(errors="replace").decode()
    for signature, seed in (("aaaa", 0), ("bbbb", 1)):
        entries = [{"step": 1, "epoch": 0, "time": 1.0, "val/rd_loss": 1.0, f"val/{word}": 1.0}]
        write_run(tmp_path / "runs" / signature, entries, config=config_of(name=word + signature, seed=seed))
    assert main(["compare", "aaaa", "bbbb"]) == 0
    said = capsys.readouterr()
    assert is_harmless(said.out + said.err)
    curve = {"name": word, "results": {"bpp": [0.5, 1.0], "psnr": [30.0, 32.0]}, "caution": word}
    (tmp_path / "curve.json").write_text(json.dumps(curve))
    assert main(["rd", "curve.json", "curve.json"]) == 0
    said = capsys.readouterr()
    assert is_harmless(said.out + said.err)
    for line in (
        ["compare", text],
        ["rd", text],
        ["sweep", text],
        ["ablation", text],
        [text],
        ["compare", "a", f"--{text}"],
    ):
        try:
            code = main([part.replace("\x00", "") for part in line])
        except SystemExit as end:
            code = end.code
        assert code == 2
        said = capsys.readouterr()
        assert is_harmless(said.out + said.err)
