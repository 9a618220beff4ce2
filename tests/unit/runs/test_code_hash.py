"""What a code hash sees, and what it does not."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from checkout import copy_checkout

from lic_exp.runs.code_hash import KIND, PLATFORM, changed_parts, code_hash, code_parts, code_state
from lic_exp.runs.modules_read import Sources
from lic_exp.runs.reached import meanings

COMPONENTS = (
    "lic_exp.models.compressai_zoo.Hyperprior",
    "lic_exp.spectral_reg.intra_scale.IntraScale",
    "lic_exp.optimizers.factories.adam",
    "lic_exp.training.criterion.MSE",
    "lic_exp.data.sources.Folder",
)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_checkout(tmp_path_factory.mktemp("checkout"), "lic_exp")


def hash_of(checkout: Path) -> str | None:
    return code_hash(COMPONENTS, root=checkout)


@pytest.fixture(scope="module")
def unchanged(checkout: Path) -> str | None:
    return hash_of(checkout)


@pytest.fixture
def changed(checkout: Path, tmp_path: Path) -> Path:
    """A copy to be changed."""
    return Path(shutil.copytree(checkout, tmp_path / "changed"))


def test_another_name_of_a_file_and_a_definition_that_moves_change_nothing(
    unchanged: str | None, changed: Path
) -> None:
    (changed / "lic_exp/ops/bounds.py").rename(changed / "lic_exp/ops/limits.py")
    for path in changed.rglob("*.py"):
        text = path.read_text()
        path.write_text(text.replace("lic_exp.ops.bounds", "lic_exp.ops.limits"))
    metrics = changed / "lic_exp/metrics.py"
    head, _, tail = metrics.read_text().partition("\n\n\ndef ")
    (first, _, rest) = tail.partition("\n\n\ndef ")
    metrics.write_text(f"{head}\n\n\ndef {rest}\n\n\ndef {first}\n")

    assert hash_of(changed) == unchanged


def _appended(file: str, text: str) -> Callable[[Path], None]:
    def change(checkout: Path) -> None:
        path = checkout / "lic_exp" / file
        path.write_text((path.read_text() if path.is_file() else "") + text)

    return change


def _replaced(file: str, before: str, after: str) -> Callable[[Path], None]:
    def change(checkout: Path) -> None:
        path = checkout / "lic_exp" / file
        assert before in path.read_text()
        path.write_text(path.read_text().replace(before, after, 1))

    return change


def _all_of(*changes: Callable[[Path], None]) -> Callable[[Path], None]:
    return lambda checkout: [change(checkout) for change in changes] and None


MODEL = '"""A model."""\n\nfrom lic_exp.models.base import Codec\n\n\nclass Another(Codec):\n    N = 3\n'
NOTHING = {
    "words, in all kinds of places": _all_of(
        _replaced("metrics.py", '"""', '"""Said otherwise: '),
        _appended("metrics.py", "\n\n# A remark.\n"),
        _replaced("training/criterion.py", '"""', '"""Otherwise. '),
    ),
    "a model, a command, a test of a sweep": _all_of(
        _appended("models/another.py", MODEL),
        _appended("cli/another.py", 'SUMMARY = "another"\n'),
        _appended("sweeps/plan.py", "\n\nADDED = 1\n"),
    ),
    "a definition that nothing uses": _all_of(
        *(_appended(file, "\n\nADDED = 1\n") for file in ("metrics.py", "runs/train.py", "data/sampling.py")),
        _appended("training/criterion.py", "\n\nclass Another:\n    pass\n"),
    ),
    "components that the run did not choose": _all_of(
        _replaced("optimizers/muon.py", "def ", "def _unused() -> None: ...\n\n\ndef "),
        _appended("models/hpcm/codec.py", "\n\nprint(1)\n"),
    ),
    "what reads configs, makes room and tells people": _all_of(
        _replaced("data/store_room.py", "LEFT_FREE = ", "LEFT_FREE = 1 + "),
        _replaced("evaluation/watching.py", '"evaluating"', '"at work"'),
        _replaced("config/errors.py", "def ", "def _unused() -> None: ...\n\n\ndef "),
        _replaced("tracking/run_folder.py", "DEAD_AFTER_S = ", "DEAD_AFTER_S = 1.0 + "),
    ),
}


@pytest.mark.parametrize("what", NOTHING)
def test_what_computes_nothing_of_the_run_changes_nothing(unchanged: str | None, changed: Path, what: str) -> None:
    NOTHING[what](changed)

    assert hash_of(changed) == unchanged


SEEN = {
    "the criterion": _replaced("training/criterion.py", "255", "254"),
    "what the criterion measures by": _replaced("metrics.py", "return ", "return 2 * "),
    "how images are drawn": _replaced("random_streams.py", "def below(", "@staticmethod\ndef below("),
    "a function far below": _replaced("ops/dct.py", "def hard_mask(", "@staticmethod\ndef hard_mask("),
    "the model": _replaced("models/compressai_zoo.py", "class Hyperprior(", "class Hyperprior(object, "),
    "the evaluator": _replaced("evaluation/evaluator.py", "GIVE_UP_AFTER = ", "GIVE_UP_AFTER = 1 + "),
    "how components are built": _replaced(
        "config/instantiation.py", "return with_message(", "return 1 and with_message("
    ),
    "which images are evaluated": _replaced("config/evaluated.py", "return list_images(", "return 1 and list_images("),
    "which images there are": _replaced("config/signing.py", 'instantiate(data.component, "data")', "1"),
    "the digits of a table": _replaced("csv_text.py", "float_format=float_format", 'float_format="%.1f"'),
    "the loop": _replaced("training/trainer.py", "class Trainer:", "class Trainer:\n    ADDED = 1\n"),
    "what is done when a module is imported": _appended("training/criterion.py", "\n\nprint(1)\n"),
}


@pytest.mark.parametrize("what", SEEN)
def test_what_computes_is_seen_wherever_it_lies(unchanged: str | None, changed: Path, what: str) -> None:
    SEEN[what](changed)

    assert hash_of(changed) not in (unchanged, None)


MINE_ONLY = frozenset(["mine"])
MINE = "class Mine:\n    def f(self, part: Kind = 1):\n        return part_of(part)\n"
USES = {
    "another definition by the same name": (
        "from .parts import one as part_of",
        "from .parts import two as part_of",
        False,
    ),
    "another of a library": ("from math import sin as part_of", "from math import cos as part_of", False),
    "by way of a module": (
        "from mine import parts\npart_of = parts.one",
        "from mine import parts\npart_of = parts.two",
        False,
    ),
    "the same by a star": ("from .parts import one as part_of", "from .named import *", True),
    "the same from elsewhere": ("from .parts import one as part_of", "from mine.moved import one as part_of", True),
    "a further name": ("from .parts import one as part_of", "from .parts import two, one as part_of", True),
    "an annotation": ("from .parts import one as part_of", "from .parts import one as part_of, two as Kind", True),
    "under a condition": (
        "from .parts import one as part_of",
        "from .parts import one as part_of\nif part_of(1):\n    from .parts import two as part_of",
        False,
    ),
    "an import for the type check": (
        "from .parts import one as part_of",
        "from typing import TYPE_CHECKING\nfrom .parts import one as part_of\nif TYPE_CHECKING:\n    import a",
        True,
    ),
}


@pytest.mark.parametrize("what", USES)
def test_what_a_name_means_counts_and_its_place_does_not(tmp_path: Path, what: str) -> None:
    found = []
    for folder, head in zip(("a", "b"), USES[what][:2], strict=True):
        package = tmp_path / folder / "mine"
        package.mkdir(parents=True)
        one = "def one(x):\n    return x\n"
        (package / "__init__.py").touch()
        (package / "parts.py").write_text(f"{one}\n\ndef two(x):\n    return 2 * x\n")
        (package / "moved.py").write_text(one)
        (package / "named.py").write_text("from .parts import one as part_of\n")
        (package / "model.py").write_text(f"{head}\n\n{MINE}")
        found.append(meanings("mine.model.Mine", Sources(MINE_ONLY, MINE_ONLY, root=tmp_path / folder)))

    assert None not in found
    assert (found[0] == found[1]) is USES[what][2]


HANDED, LOCAL = frozenset(["handed"]), frozenset(["local"])
REGISTERED = {
    "by a decorator of the definition's own": "@made.register\ndef _(x: int):\n    return {}\n",
    "by a library's decorator": "import library\n@library.register_kernel('x')\ndef _(x):\n    return {}\n",
    "in a loop": "for one in (1, 2):\n    made.table[one] = {}\n",
    "under a name that nobody uses": "with made.table as unused:\n    unused.append({})\n",
    "by a call": "made.table.append({})\n",
}


@pytest.mark.parametrize("how", REGISTERED)
def test_what_is_handed_over_without_a_name_counts(tmp_path: Path, how: str) -> None:
    found = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        head = "from functools import singledispatch\n\n\n@singledispatch\ndef made(x):\n    return x\n\n\n"
        (folder / "handed.py").write_text(head + REGISTERED[how].format(number))
        found.append(meanings("handed.made", Sources(HANDED, HANDED, root=folder)))
    assert None not in found
    assert found[0] != found[1]


def test_what_is_local_to_a_function_is_no_definition_of_its_module(tmp_path: Path) -> None:
    text = "def scale():\n    return {}\n\n\ndef made(x):\n    scale = 2\n    return [scale * y for y in x]\n"
    found = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "local.py").write_text(text.format(number))
        found.append(meanings("local.made", Sources(LOCAL, LOCAL, root=folder)))
    assert found[0] == found[1] is not None


NOW = code_hash(COMPONENTS)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ([NOW], "current"),
        ([f"{KIND}0123456789abcdef"], "stale"),
        ([f"{KIND}0123456789abcdef", NOW], "stale"),
        (["0123456789abcdef"], "unknown"),
        (["0123456789abcdef", NOW], "unknown"),
        ([None], "unknown"),
        ([], "unknown"),
        (None, "unknown"),
    ],
)
def test_the_code_of_a_run_is_that_of_now_or_another_or_unknown(code: list[str | None] | None, expected: str) -> None:
    status = {"parts": code_parts(COMPONENTS), "plugins": []} | ({} if code is None else {"code": code})
    assert code_state(status) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda parts: parts, []),
        (lambda parts: parts | {COMPONENTS[0]: "0123456789abcdef"}, [COMPONENTS[0]]),
        (lambda parts: parts | dict.fromkeys((PLATFORM, COMPONENTS[3]), "other"), [PLATFORM, COMPONENTS[3]]),
    ],
)
def test_which_part_of_the_code_is_other_is_known(
    change: Callable[[dict[str, str]], dict[str, str]], expected: list[str]
) -> None:
    parts = code_parts(COMPONENTS)
    assert parts is not None
    assert changed_parts({"parts": change(parts)}) == expected


def test_a_component_that_is_gone_leaves_the_code_unknown() -> None:
    status = {"code": [NOW], "parts": {"nowhere.to.be.Found": "ab"}, "plugins": ["nowhere"]}
    assert code_state(status) == "unknown"
