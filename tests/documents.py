"""The documents, and what tests take out of them: code blocks, and the commands in them."""

import re
from collections.abc import Iterator
from pathlib import Path

from checkout import ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "benchmarks/RESULTS.md"])
EXAMPLES = (ROOT / "docs/own_package.md", ROOT / "docs/from_an_hpcm_fork.md")
"""Those whose blocks hold files of the example package, named in their first line."""

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def fenced(text: str, language: str) -> list[str]:
    """The code blocks of a document's text."""
    return [body for kind, body in FENCE.findall(text) if kind == language]


def blocks(document: Path, language: str) -> list[str]:
    return fenced(document.read_text(), language)


def command_lines(text: str) -> Iterator[str]:
    """The commands in a text's bash blocks, continuation lines joined."""
    for block in fenced(text, "bash"):
        lines = block.replace("\\\n", " ").splitlines()
        yield from (" ".join(line.split()) for line in lines if line)


def write_package(folder: Path) -> None:
    """Write the documents' example package, my_package, into `folder`."""
    for document in EXAMPLES:
        for block in [*blocks(document, "python"), *blocks(document, "yaml")]:
            place, _, text = block.partition("\n")
            if place.startswith("# my_package/"):
                path = folder / place.removeprefix("# ")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
    (folder / "my_package/__init__.py").touch()
