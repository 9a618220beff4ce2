"""The limits of `tests/architecture.py` hold for the code as it is, and bite where a violation of each is planted."""

from pathlib import Path

import pytest
from architecture import findings, import_graph, main, modules
from checkout import ROOT, copy_checkout

CONFIG = "from collections.abc import Mapping\nfrom typing import Any, TypeAlias\n\n"
DEFERRED = "def later():\n    import lic_exp.ops.planted\n"
GUARDED = "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from analysis import planted\n"

PLANTED = [
    pytest.param(
        "circles",
        {"lic_exp/ops/planted.py": "from lic_exp.ops.other import x", "lic_exp/ops/other.py": DEFERRED},
        "lic_exp.ops.other <-> lic_exp.ops.planted",
        id="a circle through a function",
    ),
    pytest.param(
        "circles",
        {"analysis/planted.py": "from .other import x", "analysis/other.py": GUARDED},
        "analysis.other <-> analysis.planted",
        id="a circle through TYPE_CHECKING and a relative import",
    ),
    pytest.param(
        "circles",
        {"analysis/planted.py": "import analysis\nx = analysis.__file__", "analysis/__init__.py": GUARDED},
        "analysis <-> analysis.planted",
        id="a circle through a package's root",
    ),
    pytest.param(
        "upward arrows",
        {"lic_exp/ops/planted.py": "def f():\n    from lic_exp import metrics"},
        "lic_exp.ops.planted -> lic_exp.metrics (up)",
        id="an import upwards",
    ),
    pytest.param(
        "upward arrows",
        {"lic_exp/models/planted.py": "from lic_exp.data.images import read_image"},
        "lic_exp.models.planted -> lic_exp.data.images (beside)",
        id="an import from beside",
    ),
    pytest.param(
        "upward arrows",
        {"lic_exp/ops/planted.py": "import analysis.grid"},
        "lic_exp.ops.planted -> analysis.grid (out of lic_exp)",
        id="an import of analysis",
    ),
    pytest.param("upward arrows", {"lic_exp/planted.py": "x = 1"}, "lic_exp.planted is in no layer", id="a new room"),
    pytest.param(
        "long files", {"analysis/planted.py": "x = 1\n" * 298}, "analysis/planted.py has 301 lines", id="a long file"
    ),
    pytest.param(
        "long files",
        {"tests/unit/planted.py": "x = 1\n" * 398},
        "tests/unit/planted.py has 401 lines",
        id="a long test",
    ),
    pytest.param(
        "big rooms",
        {f"lic_exp/ops/deeper/planted_{i}.py": "x = 1\n" * 298 for i in range(40)},
        "lic_exp/ops",
        id="a big room",
    ),
    pytest.param(
        "type names given twice",
        {"lic_exp/ops/planted.py": "class Planted:\n    pass", "analysis/planted.py": "Planted = dict[str, int]"},
        "Planted: lic_exp.ops.planted, analysis.planted",
        id="a class and an alias of one name",
    ),
    pytest.param(
        "configs looked into by key",
        {"lic_exp/training/planted.py": 'steps = run.config["trainer"]'},
        "lic_exp.training.planted:3",
        id="a look into a config",
    ),
    pytest.param(
        "done elsewhere than in its place",
        {"analysis/planted.py": "def f(name):\n    print(name)"},
        "analysis.planted:4",
        id="a name that is printed as it is",
    ),
    pytest.param(
        "done elsewhere than in its place",
        {"lic_exp/runs/planted.py": "from rich.console import Console\n\nconsole = Console()"},
        "lic_exp.runs.planted:5",
        id="a console that takes text for markup",
    ),
    pytest.param(
        "done elsewhere than in its place",
        {"lic_exp/models/planted.py": "import torch\n\n\ndef noisy(y):\n    return y + torch.rand_like(y) - 0.5"},
        "lic_exp.models.planted:7",
        id="noise from the global generator",
    ),
    pytest.param(
        "done elsewhere than in its place",
        {"lic_exp/models/planted.py": "from torch import nn\n\nlayer = nn.Dropout(0.1)"},
        "lic_exp.models.planted:5",
        id="dropout",
    ),
    pytest.param(
        "mappings called a config",
        {"lic_exp/runs/planted.py": f"{CONFIG}Config = Mapping[str, Any]"},
        "lic_exp.runs.planted: Config = Mapping[str, Any]",
        id="a config that is a mapping",
    ),
    pytest.param(
        "mappings called a config",
        {"lic_exp/runs/planted.py": f'{CONFIG}FrozenConfig: TypeAlias = "dict[str, Any]"'},
        "lic_exp.runs.planted: FrozenConfig = dict[str, Any]",
        id="the same in quotes",
    ),
]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return copy_checkout(tmp_path, "lic_exp", "analysis", "tests", "pyproject.toml")


@pytest.mark.parametrize("what", findings(ROOT))
def test_the_code_keeps_every_limit(what: str) -> None:
    assert findings(ROOT)[what] == []


@pytest.mark.parametrize(("what", "planted", "said"), PLANTED)
def test_a_planted_violation_is_found(checkout: Path, what: str, planted: dict[str, str], said: str) -> None:
    before = findings(ROOT)[what]
    for path, code in planted.items():
        (checkout / path).parent.mkdir(exist_ok=True)
        (checkout / path).write_text(f'"""Planted."""\n\n{code}\n')
    assert [place for place in findings(checkout)[what] if place not in before] == [said]


def test_every_limit_has_a_planted_violation() -> None:
    assert {parameters.values[0] for parameters in PLANTED} == set(findings(ROOT))


def test_imports_are_resolved_to_modules() -> None:
    """`from package import module`, a name of a module, and `import a.b` are an arrow each, wherever they stand."""
    graph = import_graph(modules(ROOT))
    assert "analysis.run_cache" in graph["analysis.runs"]
    assert "analysis" not in graph["analysis.runs"]
    assert "analysis.bd" in graph["analysis"]
    assert "lic_exp.places" in graph["lic_exp.ablation_spec"]


def test_the_script_prints_counts_and_places_and_ends_with_1(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (checkout / "lic_exp/ops/planted.py").write_text("import lic_exp.metrics\n")
    assert main(checkout) == 1
    counts, room, *places = capsys.readouterr().out.splitlines()
    assert counts.startswith("circles ")
    assert ", upward arrows " in counts
    assert room.startswith("biggest room: lic_exp/")
    assert "upward arrows: lic_exp.ops.planted -> lic_exp.metrics (up)" in places
