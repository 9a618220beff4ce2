"""What a code hash sees, and what it does not."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import copy_checkout

from lic_exp.runs.code_hash import _read

HASH = "from lic_exp.runs.code_hash import code_hash; print(code_hash())"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_checkout(tmp_path_factory.mktemp("checkout"), "lic_exp", "conf")


def hash_of(checkout: Path) -> str:
    done = subprocess.run([sys.executable, "-c", HASH], cwd=checkout, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def changed(checkout: Path, tmp_path: Path) -> Path:
    """A copy to be changed."""
    return Path(shutil.copytree(checkout, tmp_path / "changed"))


def test_another_name_of_a_file_and_a_definition_that_moves_change_nothing(checkout: Path, changed: Path) -> None:
    (changed / "lic_exp/ops/bounds.py").rename(changed / "lic_exp/ops/limits.py")
    for path in changed.rglob("*.py"):
        text = path.read_text()
        path.write_text(text.replace("lic_exp.ops.bounds", "lic_exp.ops.limits"))
    metrics = changed / "lic_exp/metrics.py"
    head, _, tail = metrics.read_text().partition("\n\n\ndef ")
    (first, _, rest) = tail.partition("\n\n\ndef ")
    metrics.write_text(f"{head}\n\n\ndef {rest}\n\n\ndef {first}\n")

    assert hash_of(changed) == hash_of(checkout)


def test_words_change_nothing(checkout: Path, changed: Path) -> None:
    metrics = changed / "lic_exp/metrics.py"
    metrics.write_text(metrics.read_text().replace('"""', '"""Said otherwise: ', 1) + "\n\n# A remark.\n")

    assert hash_of(changed) == hash_of(checkout)


@pytest.mark.parametrize("file", ["metrics.py", "runs/preflight.py", "data/sampling.py", "models/hpcm/partition.py"])
def test_what_computes_is_seen_wherever_it_lies(checkout: Path, changed: Path, file: str) -> None:
    path = changed / "lic_exp" / file
    path.write_text(path.read_text() + "\n\nADDED = 1\n")

    assert hash_of(changed) != hash_of(checkout)


@pytest.mark.parametrize("file", ["cli/ls.py", "sweeps/plan.py"])
def test_what_starts_and_shows_runs_is_not(checkout: Path, changed: Path, file: str) -> None:
    path = changed / "lic_exp" / file
    path.write_text(path.read_text() + "\n\nADDED = 1\n")

    assert hash_of(changed) == hash_of(checkout)


IMPORTS = {
    "another definition by the same name": ("from .parts import one as part", "from .parts import two as part", False),
    "within a function": (
        "def f():\n    from mine.parts import one as p",
        "def f():\n    from mine.parts import two as p",
        False,
    ),
    "the same from elsewhere": ("from .parts import one as part", "from mine.moved.parts import one as part", True),
    "a further name": ("from .parts import one", "from .parts import one, two", True),
    "a name for itself": ("from .parts import one", "from .parts import one as one", True),
}


@pytest.mark.parametrize("what", IMPORTS)
def test_what_an_import_calls_otherwise_counts_and_its_place_does_not(tmp_path: Path, what: str) -> None:
    before, after, same = IMPORTS[what]
    path, other = tmp_path / "a.py", tmp_path / "b.py"
    path.write_text(f"{before}\n")
    other.write_text(f"{after}\n")
    own = frozenset(["lic_exp", "mine"])

    assert (_read(path, own).meanings == _read(other, own).meanings) is same
