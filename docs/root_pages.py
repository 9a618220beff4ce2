"""A hook of mkdocs: the documents outside docs/ become pages of the site, and links to them hold on both sides.

On a code host README.md links to docs/runs.md, and docs/runs.md to ../CONTRIBUTING.md. On the site all of them are
pages beside each other, so links are rewritten while it is built. A link to anything else is left as it is, and fails
the build.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "LOG.md": "log.md",
    "LICENSE": "license.md",
    "benchmarks/RESULTS.md": "results.md",
}
"""Path in the checkout: page of the site."""

LINK = re.compile(r"(?<=\]\()(?!\w+:)([^)#\s]+)(?=[)#])")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the documents outside docs/."""
    root = Path(config.config_file_path).parent
    for place, page in PAGES.items():
        text = (root / place).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text if place.endswith(".md") else plain(place, text)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite a page's links."""
    places = {site: place for place, site in PAGES.items()}
    folder = posixpath.dirname(places.get(page.file.src_uri, f"docs/{page.file.src_uri}"))
    return LINK.sub(lambda link: site_target(folder, link[0]), markdown)


def site_target(folder: str, target: str) -> str:
    """What a link from a document in `folder` of the checkout is on the site, whose pages lie beside each other."""
    place = posixpath.normpath(posixpath.join(folder, target))
    if place in PAGES:
        return PAGES[place]
    return place.removeprefix("docs/") if place.startswith("docs/") else target


def plain(title: str, text: str) -> str:
    return f"# {title.capitalize()}\n\n```text\n{text}\n```\n"
