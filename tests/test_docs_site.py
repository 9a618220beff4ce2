"""The site that `make docs` builds: every page is reachable, nothing comes from the network, and its guards bite."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from checkout import ROOT, copy_checkout

BESIDE = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LOG.md", "LICENSE")
"""Documents outside docs/ that are pages, too; so is benchmarks/RESULTS.md."""


def build(checkout: Path, site: Path) -> "subprocess.CompletedProcess[str]":
    """What `make docs` does, in `checkout` and into `site`."""
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)],
        cwd=checkout,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return copy_checkout(tmp_path / "checkout", "docs", "mkdocs.yml", "benchmarks", "lic_exp", "analysis", *BESIDE)


class Tags(HTMLParser):
    """{page: what it refers to} of an HTML file: links apart from what a browser fetches to show the page."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.fetched: set[str] = set()
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "a":
            self.links.add((values.get("href") or "").partition("#")[0])
        elif place := values.get("src") or (values.get("href") if tag == "link" else None):
            self.fetched.add(place)


def test_every_page_is_in_the_navigation(site: Path) -> None:
    pages = {path.name for path in site.glob("*.html")} - {"404.html"}
    expected = {f"{path.stem}.html" for path in ROOT.glob("docs/*.md")}
    assert pages == expected | {"index.html", "contributing.html", "changelog.html", "log.html", "license.html"} | {
        "results.html"
    }
    # The sidebar is on every page; README's own links must not count for it.
    assert pages <= Tags(site / "license.html").links


def test_the_readme_leads_to_every_page_for_people(site: Path) -> None:
    named = set(re.findall(r"\]\(([^)#]+)", (ROOT / "README.md").read_text()))
    assert {f"docs/{path.name}" for path in ROOT.glob("docs/*.md")} <= named


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    fetched = {place for page in site.glob("*.html") for place in Tags(page).fetched}
    assert fetched
    assert not [place for place in fetched if re.match(r"(\w+:)?//", place)]
    styles = "".join(path.read_text() for path in site.rglob("*.css"))
    assert not re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", styles)


def test_pictures_are_small() -> None:
    pictures = [*ROOT.glob("docs/pictures/*")]
    assert pictures
    assert all(path.stat().st_size < 150_000 for path in pictures)


def test_what_leads_nowhere_fails(checkout: Path, tmp_path: Path) -> None:
    with (checkout / "docs/words.md").open("a") as page:
        page.write("[a](nowhere.md) [b](data.md#missing) [c](../lic_exp/metrics.py)\n")
    (checkout / "docs/forgotten.md").write_text("# In no navigation\n")
    done = build(checkout, tmp_path / "site")
    assert done.returncode != 0
    assert all(name in done.stderr for name in ("nowhere.md", "#missing", "metrics.py", "forgotten.md"))


def test_a_name_that_is_not_there_fails(checkout: Path, tmp_path: Path) -> None:
    with (checkout / "docs/python.md").open("a") as page:
        page.write("\n::: lic_exp.nowhere\n")
    done = build(checkout, tmp_path / "site")
    assert done.returncode != 0
    assert "lic_exp.nowhere" in done.stderr
