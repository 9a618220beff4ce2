"""Reports: all that is asked of them stands in one file, every number leads to its runs, and any text is text.

In Chromium they are seen as people see them: wide and narrow, light and dark, and on paper.
"""

import base64
import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from browser import browser, needs_browser
from figure_runs import REASON, SWEEP, write_trained_sweep
from made_sweeps import write_manifest
from PIL import Image
from recorded_study import write_study
from scale_toys import Banded, photos
from without_torch import blocked

from analysis.__main__ import main
from analysis.report.origin import values_text
from analysis.report.page import page as page_of
from analysis.report.parts import PageTable, Part, ReportContent
from analysis.report.svg import inline
from lic_exp.evaluation.diagnosis import diagnose
from lic_exp.plot_style import in_style, new_figure

OUTSIDE = """[...document.querySelectorAll('body *')].filter(one => {
  const box = one.getBoundingClientRect();
  return box.width > 2 && box.right > innerWidth + 1 && !one.closest('.long, .photo, svg, thead');
}).map(one => one.outerHTML.slice(0, 200))"""
SMALLEST_TEXT = """Math.min(...[...document.querySelectorAll('svg text')].map(
  one => one.getBoundingClientRect().height))"""
SEEN = """[...document.querySelectorAll('table, svg, img')].filter(one => !one.closest('details')).every(one => {
  const box = one.getBoundingClientRect();
  return box.width > 100 && box.height > 20 && (one.tagName != 'IMG' || one.naturalWidth > 0);
})"""

FELL = "spectral_reg=none, criterion.lmbda=0.0483, seed=2"
WAITING = "spectral_reg=intra, criterion.lmbda=0.0067, seed=1"


class Page(HTMLParser):
    """ids, targets of links, images, texts and tags of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids, self.links, self.sources, self.tags = [], [], [], []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.tags.append(tag)
        self._open.append(tag)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found["href"]] if tag in ("a", "link") and "href" in found else []
        self.sources += [found[key] for key in ("src", "xlink:href", "srcset") if key in found]

    def handle_data(self, data):
        self.texts += [" ".join(data.split())] if data.strip() and self._open[-1] != "style" else []


def draw_pictures(runs: Path) -> None:
    """The pictures of two images in every evaluation, and its point where it has none."""
    for number, table in enumerate(sorted(runs.glob("*/eval/images.csv"))):
        for place, name in enumerate("ab"):
            picture = table.with_name(f"{place:03d}_{name}.png")
            Image.new("RGB", (480, 160), (number % 255, 40 * place, 99)).save(picture)
        if not (point := table.with_name("rd_point.json")).is_file():
            rows = list(csv.DictReader(table.read_text().splitlines()))
            means = {key: [sum(float(row[key]) for row in rows) / len(rows)] for key in ("bpp", "psnr")}
            point.write_text(json.dumps({"name": "x", "results": means}))


def reported(*arguments: str, out: Path) -> tuple[str, Page]:
    assert main(["report", "--out", str(out), *arguments]) == 0
    text = out.read_text()
    return text, Page(text)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    place = tmp_path_factory.mktemp("report")
    write_trained_sweep(place / "runs", diverged=[FELL], without=[WAITING])
    draw_pictures(place / "runs")
    return place / "runs", *reported(SWEEP, "--runs", str(place / "runs"), "kodak/vtm_18.0", out=place / "a.html")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    place = tmp_path_factory.mktemp("report_of_a_table")
    write_study(place / "runs")
    draw_pictures(place / "runs")
    return place / "runs", *reported("table2", "--runs", str(place / "runs"), out=place / "a.html")


@pytest.fixture(params=["sweep", "table"])
def shown(request):
    return request.getfixturevalue(request.param)


def test_it_needs_nothing_else(shown):
    _, text, page = shown
    assert all(link.startswith("#") or link == "data:," for link in page.links)
    assert all(source.startswith(("data:image/png;base64,", "#")) for source in page.sources)
    assert not re.findall(r"url\((?!#)|@import|<script|\bon\w+=", text)
    assert {"svg", "img", "table", "details"} <= set(page.tags)


def test_every_link_leads_somewhere_and_no_place_is_there_twice(shown):
    _, _, page = shown
    targets = {link.removeprefix("#") for link in page.links if link != "data:,"}
    assert targets <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))


def test_every_run_has_its_row_and_numbers_lead_to_them(shown):
    runs, _, page = shown
    rows = {name.removeprefix("run-") for name in page.ids if name.startswith("run-")}
    assert {path.parent.name for path in runs.glob("*/status.json")} <= rows
    assert {link for link in page.links if link.startswith("#arm-")}


def test_a_sweep_says_what_was_asked_what_came_out_and_how_to_make_it_again(sweep):
    _, _, page = sweep
    said = set(page.texts)
    assert {"none, intra", "0.0018, 0.0067, 0.025, 0.0483", "0, 1, 2"} <= said
    assert "24 runs: 22 done, 1 diverged, 1 not begun" in said
    assert "Against spectral_reg=none: rate at equal PSNR [dB]; negative % is a saving" in said
    assert "Against kodak/vtm_18.0: rate at equal PSNR [dB]; negative % is a saving" in said
    assert any(text.startswith("spectral_reg=intra: BD-rate over 2 seeds -") for text in said)
    assert any("other-data-set" in text for text in said)
    assert any("python -m analysis rd" in text for text in page.texts)


def test_what_failed_is_folded_away_with_its_reason_and_norms(sweep):
    _, text, _ = sweep
    (folded,) = re.findall(r"<details.*?</details>", text, re.DOTALL)
    assert REASON in folded
    assert "not begun" in folded
    assert ">train/grad_norm</text>" in folded
    assert ">skipped step</text>" in folded
    assert "Failed, diverged, unfinished (2)" in folded


def test_the_best_and_the_worst_picture_stand_beside_the_first_arms(sweep):
    _, _, page = sweep
    captions = [text for text in page.texts if " bpp, " in text and " dB" in text]
    assert [caption.split(":")[0] for caption in captions] == ["best", "best", "worst", "worst"]
    assert "spectral_reg=intra is " in captions[0]
    assert "spectral_reg=none at its nearest rate" in captions[1]


def test_a_table_has_its_claims_verdicts_and_rows(table):
    _, _, page = table
    said = set(page.texts)
    assert any(text.startswith("verdicts:") for text in said)
    assert "not resolvable" in said or any(text.startswith("supported") for text in said) or "contradicted" in said
    assert "python launch.py -m experiment=table2 scale=mini trainer.max_epochs=50" in " ".join(page.texts)
    assert "estimated bits by latent, % (last validation)" in said


def test_spectra_of_a_run_that_was_diagnosed(tmp_path):
    runs = tmp_path / "runs"
    *_, last = write_trained_sweep(runs, seeds=(0,), lmbdas=(0.01, 0.02))
    (runs / last / "diagnosis").mkdir()
    found = diagnose(Banded((0, 0.25, 1)), photos(2, 32, 48), None, torch.device("cpu"), step=None)
    found.write(runs / last / "diagnosis" / "best.npz")
    text, page = reported(SWEEP, "--runs", str(runs), out=tmp_path / "a.html")
    assert "Spectra" in page.texts
    assert any(said.startswith("spectral_reg=intra: ") for said in page.texts)
    assert "What each scale contributes, luma: spectral_reg=intra" in page.texts
    assert "What each scale adds to a photo: spectral_reg=intra" in page.texts
    assert text.count('class="plate"') >= 4
    assert all(source.startswith(("data:image/png;base64,", "#")) for source in page.sources)
    assert len(page.ids) == len(set(page.ids))


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + b"0" * 40])
def test_a_picture_that_is_none_is_said(content, tmp_path):
    runs = tmp_path / "runs"
    (name, *_) = write_trained_sweep(runs, effect={"none": 0.0}, seeds=(0,), lmbdas=(0.01, 0.02))
    draw_pictures(runs)
    for picture in runs.glob("*/eval/*.png"):
        picture.write_bytes(content)
    _, page = reported(name, "--runs", str(runs), out=tmp_path / "a.html")
    captions = [text for text in page.texts if "its picture cannot be shown" in text]
    assert [caption.partition(".")[0] for caption in captions] == ["best PSNR", "worst PSNR"]
    assert "img" not in page.tags


def test_cells_of_one_training_have_one_place(tmp_path):
    runs = tmp_path / "runs"
    write_trained_sweep(runs, seeds=(0,), lmbdas=(0.01,))
    manifest = runs / ".sweeps" / SWEEP / "manifest.json"
    content = json.loads(manifest.read_text())
    content["cells"].append({**content["cells"][0], "label": "again", "role": {"spectral_reg": "again"}})
    manifest.write_text(json.dumps(content))
    text, page = reported(SWEEP, "--runs", str(runs), out=tmp_path / "a.html")
    assert len(page.ids) == len(set(page.ids))
    assert "Against" not in text  # one rate makes no curve


@pytest.mark.parametrize("name", ["0000000000000000", "spectral_reg=intra"])
def test_of_a_run_and_of_a_label(sweep, name, tmp_path):
    runs, _, _ = sweep
    _, page = reported(name, "--runs", str(runs), out=tmp_path / "a.html")
    assert {"Results", "Training", "Runs", "Commands"} <= set(page.texts)


def test_any_text_is_text(tmp_path):
    text = '<script>alert(1)</script>a\x1b[31m\x00b" onload="x]]></svg>{{ 7*7 }}'
    runs = tmp_path / "runs"
    write_trained_sweep(runs, seeds=(0,), lmbdas=(0.01, 0.02))
    manifest = runs / ".sweeps" / SWEEP / "manifest.json"
    content = json.loads(manifest.read_text())
    for cell in content["cells"]:
        cell["label"] = cell["label"].replace("intra", text)
        cell["role"]["spectral_reg"] = cell["role"]["spectral_reg"].replace("intra", text)
        status = json.loads((runs / cell["signature"] / "status.json").read_text())
        failed = status | {"reason": text, "state": "failed", "host": text}
        (runs / cell["signature"] / "status.json").write_text(json.dumps(failed))
    content["given"] = [text]
    manifest.write_text(json.dumps(content))
    shown, page = reported(SWEEP, "--runs", str(runs), out=tmp_path / "a.html")
    assert "script" not in page.tags
    assert not any(char in shown for char in "\x00\x1b")
    assert "onload" not in re.sub(r">[^<]*<|data-title=\"[^\"]*\"|aria-label=\"[^\"]*\"", "", shown)
    assert shown.count("</svg>") == page.tags.count("svg")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nosuch"], "there is no run nosuch"),
        (["empty-0"], "no run of sweep empty-0 has begun"),
        ([SWEEP, "--out", "a.pdf"], "--out=a.pdf: a report is written as .html"),
        ([SWEEP, "--scale", "mini"], f"{SWEEP} is no table"),
        ([SWEEP, "--anchors", "nosuch"], "nosuch"),
        ([SWEEP, "--metric", "zzz"], "--metric: no metric 'zzz': it is one of psnr"),
        ([SWEEP, "--metric", "ms-ssim"], "--metric: spectral_reg=none has no ms-ssim; it has psnr"),
        (["0000000000000000", "--metric", "ms-ssim"], "--metric: "),
        ([SWEEP, "kodak/vtm_18.0", "--metric", "ms-ssim"], "--metric: kodak/vtm_18.0 has no ms-ssim"),
    ],
)
def test_what_cannot_be_reported_is_said(sweep, arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_manifest(sweep[0], "empty-0", [], made="2020-01-01")
    assert main(["report", *arguments, "--runs", str(sweep[0])]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_of_many_arms_some_are_drawn_and_all_are_listed(tmp_path):
    runs = tmp_path / "runs"
    names = {f"r{i}": 0.001 * i for i in range(30)}
    write_trained_sweep(runs, effect=names, seeds=(0,), lmbdas=(0.02,))
    text, page = reported(SWEEP, "--runs", str(runs), out=tmp_path / "a.html")
    assert "of 30 arms 24 are drawn: the first, and those of the lowest last loss at criterion.lmbda=0.02" in page.texts
    assert "r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, r10, r11 and 18 more" in page.texts
    assert len([name for name in page.ids if name.startswith("run-")]) == 30
    assert text.count(">spectral_reg=r0</text>") >= 2


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([0.1, 1e-05], "0.1, 1e-05"),
        ([float(i) for i in range(20)], "20 values, 0.0 to 19.0"),
        ([True, None, [1, 2]], "true, null, [1,2]"),
        ([*range(12), "x"], "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 1 more"),
    ],
)
def test_many_values_are_summed_up(values, said):
    assert values_text(values) == said


def test_no_torch_is_needed(sweep, tmp_path):
    done = blocked(
        f"from analysis.__main__ import main; sys.exit(main(['report', '{'0' * 16}', '--runs', {str(sweep[0])!r}]))",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"written: reports/{'0' * 16}.html\n"
    assert (tmp_path / "reports" / f"{'0' * 16}.html").is_file()


@pytest.mark.parametrize(("count", "folded"), [(0, 0), (20, 0), (21, 5), (300, 284)])
def test_many_notes_are_folded_and_none_is_lost(count, folded):
    notes = tuple(map(str, range(count)))
    table = PageTable("title", ("a", "b"), (), notes)
    assert len(table.folded_notes) == folded
    assert (*table.shown_notes, *table.folded_notes) == notes
    shown = page_of(ReportContent("t", "k", (), (Part("Results", tables=(table,)),)))
    assert all(f"<li>{note}</li>" in shown for note in notes)
    assert (f"{folded} more notes" in shown) is bool(folded)


def test_two_figures_of_a_page_share_no_names():
    @in_style
    def figure():
        made = new_figure(3, 2)
        made.subplots().plot([0, 1], [0, 1], marker="o")
        return made

    names = [set(re.findall(r'id="([^"]+)"', inline(figure(), number))) for number in (0, 1)]
    assert names[0]
    assert not names[0] & names[1]
    for number in (0, 1):
        used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', inline(figure(), number)))
        assert used <= names[number]


@pytest.fixture(scope="module")
def chromium():
    with browser() as shown:
        yield shown


@needs_browser
@pytest.mark.parametrize("width", [400, 1600])
def test_all_is_seen_and_readable(chromium, shown, width):
    page = (shown[0].parent / "a.html").as_uri()
    asked, said = len(chromium.asked), len(chromium.complaints)
    chromium.open(page, width=width)
    assert chromium.value("document.scrollingElement.scrollWidth") <= width
    assert chromium.value(OUTSIDE) == []
    assert chromium.value(SEEN) is True
    assert chromium.value(SMALLEST_TEXT) > 8
    assert chromium.value("document.querySelectorAll('table').length") > 3
    assert chromium.value("document.querySelectorAll('svg').length") >= 4
    assert chromium.value("document.querySelectorAll('img').length") >= 2
    assert chromium.asked[asked:] == [page]
    assert chromium.complaints[said:] == []


@needs_browser
def test_a_number_leads_to_its_runs(chromium, sweep):
    chromium.open((sweep[0].parent / "a.html").as_uri())
    chromium.value("document.querySelector('td a[href^=\"#arm-\"]').click()")
    assert chromium.value("location.hash").startswith("#arm-")
    assert chromium.value("document.querySelector('tr:target') !== null")


@needs_browser
def test_dark_is_dark_and_paper_is_white_with_what_was_folded(chromium, sweep):
    background = "getComputedStyle(document.body).backgroundColor"
    chromium.open((sweep[0].parent / "a.html").as_uri())
    chromium.show_as(prefers_color_scheme="light")
    assert chromium.value(background) == "rgb(255, 255, 255)"
    chromium.show_as(prefers_color_scheme="dark")
    red = int(chromium.value(background).removeprefix("rgb(").partition(",")[0])
    assert red < 60
    chromium.show_as(media="print", prefers_color_scheme="dark")
    assert chromium.value(background) == "rgb(255, 255, 255)"
    assert chromium.value("document.querySelector('details table').getBoundingClientRect().height") > 10
    printed = base64.b64decode(chromium.call("Page.printToPDF")["data"])
    chromium.show_as()
    assert printed.startswith(b"%PDF")
