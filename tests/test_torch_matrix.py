"""How `make torch-matrix` chooses packages and keeps what it found."""

import ast
import re

import pytest
from checkout import ROOT, program

versions = program("tests/torch_matrix/versions.py")


@pytest.mark.parametrize(
    ("installed", "pins", "expected"),
    [
        (["torch==2.6.0", "sympy==1.13.1"], ["sympy==1.14.0", "numpy==1.26.4"], {"sympy==1.13.1", "numpy==1.26.4"}),
        (
            ["torch==2.6.0"],
            ["torch==2.15.0", "torchvision==0.29.2", "torch-geometric==2.8.1"],
            {"torch-geometric==2.8.1"},
        ),
        (["typing_extensions==4.10"], ["typing-extensions==4.16.0"], {"typing_extensions==4.10"}),
    ],
)
def test_what_torch_brings_stays_and_the_rest_is_pinned(installed, pins, expected):
    found = set(versions.pinned(installed, pins))
    assert found == expected | set(installed)


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("# Title\n", "# Title\n\n## b\n\nnew\n"),
        ("# Title\n\n## b\n\nold\n\n## c\n\nkept\n", "# Title\n\n## b\n\nnew\n\n## c\n\nkept\n"),
        ("# Title\n\n## a\n\nkept\n\n## b\n\nold\n", "# Title\n\n## a\n\nkept\n\n## b\n\nnew\n"),
    ],
)
def test_a_version_tried_again_takes_its_own_place(page, expected):
    assert versions.with_section(page, "b", "new\n") == expected


def test_results_are_of_versions_that_are_tried_and_of_no_failure():
    text = versions.RESULTS.read_text()
    titles = re.findall(r"^## torch (.+)$", text, flags=re.MULTILINE)
    assert titles
    assert [version for version in versions.VERSIONS if version in titles] == titles
    assert "FAILED" not in text
    assert "Cannot be installed" not in text


def unions(source):
    """Lines of a `forward` in which dictionaries are united by an operator."""
    methods = (node for node in ast.walk(ast.parse(source)) if getattr(node, "name", None) == "forward")
    operations = (
        node for method in methods for node in ast.walk(method) if isinstance(node, ast.BinOp | ast.AugAssign)
    )
    return [
        node.lineno
        for node in operations
        if isinstance(node.op, ast.BitOr)
        and any(isinstance(part, ast.Dict | ast.DictComp) for part in ast.iter_child_nodes(node))
    ]


@pytest.mark.parametrize("folder", ["lic_exp/models", "lic_exp/training", "lic_exp/ops"])
def test_no_forward_pass_unites_dictionaries_by_an_operator(folder):
    """What torch 2.6 cannot trace, beside the objective's own, which is not compiled."""
    found = {path.name: unions(path.read_text()) for path in (ROOT / folder).rglob("*.py")}
    assert {name: lines for name, lines in found.items() if lines and name != "objective.py"} == {}


@pytest.mark.parametrize("line", ["return {'a': x} | more", "found |= {'a': x}", "x = more | {k: v for k, v in x}"])
def test_a_planted_union_is_found(line):
    assert unions(f"class Codec:\n    def forward(self, x):\n        {line}\n") == [3]


FOUND = """# Title

Head.

## torch 1.0

2026-01-01. Python 3, torch 1.0.
Imports of all modules: ok, 3 s.

| model | forward, backward | one graph | compile=full | compile=blocks | coding | resume |
|---|---|---|---|---|---|---|
| a_tiny | ok, 1 s | not yet | - | not yet | ok, 2 s | not yet |

Found and mended: a thing.

## torch 2.0

As it was.
"""


def test_a_table_at_the_end_of_the_page_is_no_note():
    page = FOUND.partition("Found and mended")[0]
    found = versions.Found(page, "1.0")
    found.take("Python 3.1.")
    assert found.on(page, "2026-02-02").count("a_tiny") == 1


def test_what_is_left_is_what_was_not_tried():
    assert versions.Found(FOUND, "1.0").tried() == [
        *("a_tiny/forward, backward", "a_tiny/compile=full", "a_tiny/coding"),
    ]
    assert versions.Found(FOUND, "2.0").tried() == versions.Found(FOUND, "3.0").tried() == []


@pytest.mark.parametrize("version", ["1.0", "2.0", "3.0"])
def test_every_line_of_a_probe_stands_in_the_page_at_once(version):
    """And nothing of what was found before is lost, nor what people wrote below a table."""
    page, found = FOUND, versions.Found(FOUND, version)
    for line in ("Python 3.1.", "Imports: ok.", "a_tiny/resume\tok, 7 s", "b_tiny/one graph\tFAILED: Error"):
        found.take(line)
        page = found.on(page, "2026-02-02")
        again = versions.Found(page, version)
        assert again.tried() == found.tried()
    assert page.startswith("# Title\n\nHead.\n\n## torch 1.0\n")
    assert f"## torch {version}\n\n2026-02-02. Python 3.1.\nImports: ok.\n\n| model |" in page
    before = "ok, 1 s | not yet | - | not yet | ok, 2 s" if version == "1.0" else " | ".join(["not yet"] * 5)
    assert f"| a_tiny | {before} | ok, 7 s |\n" in page
    assert f"| b_tiny | not yet | FAILED: Error | {' | '.join(['not yet'] * 4)} |\n" in page
    assert ("As it was." in page) == (version != "2.0")
    assert "Found and mended: a thing.\n" in page


def asked_by_truth(source):
    """Lines in which something is asked for its part by a comparison as such."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Compare | ast.BoolOp)
    ]


def test_no_model_asks_a_tuple_by_a_truth():
    """What torch 2.11 cannot trace."""
    found = {path.name: asked_by_truth(path.read_text()) for path in (ROOT / "lic_exp/models").rglob("*.py")}
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize("line", ["shifts[scale == 2]", "a[b in c]", "pair[x and y]", "f(x)[x is None]"])
def test_a_planted_one_is_found(line):
    assert asked_by_truth(line) == [1]
