"""The documents, and what tests take out of them: code blocks, and the commands in them."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from checkout import ROOT

from lic_exp.cli.launch import planning
from lic_exp.config.loading import load_config
from lic_exp.config.schema import RunConfig
from lic_exp.sweeps.create import sweep_request

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


def docstrings() -> Iterator[tuple[Path, str]]:
    """Every docstring of the two packages, and its file."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    for path in sorted(path for package in ("lic_exp", "analysis") for path in (ROOT / package).rglob("*.py")):
        texts = (
            ast.get_docstring(node) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, documented)
        )
        yield from ((path, text) for text in texts if text)


def check(command: str, images: Path | None = None) -> RunConfig:
    """The validated config of a command line, `images` in the place of /images; raises ConfigError."""
    words = [word.replace("/images", str(images or "/images")) for word in shlex.split(command, comments=True)]
    overrides = [word for word in words if "=" in word]
    if "-m" in words:
        return next(iter(sweep_request(planning(overrides)[1], several=True).frozen.configs.values()))
    return load_config(overrides)


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
