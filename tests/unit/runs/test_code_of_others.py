"""What a code hash sees of the user's own packages: all that a module which is reached says, does and imports."""

import sysconfig
from pathlib import Path

import pytest

from lic_exp.runs.code_hash import forget
from lic_exp.runs.modules_read import Sources
from lic_exp.runs.reached import meanings

OURS = frozenset(["lic_exp"])
ROOT = "plug.losses.Mine"
CHANGED = "def changed():\n    return {}\n"
PATCH = "import lic_exp.metrics\n\n\ndef psnr(x):\n    return {}\n\n\nlic_exp.metrics.psnr = psnr\n"
MINE = "class Mine:\n    pass\n"
SEEN = {
    "a patch by `import plug.patch`": {"losses.py": f"import plug.patch\n{MINE}", "patch.py": PATCH},
    "a patch by `from plug import patch`": {"losses.py": f"from plug import patch\n{MINE}", "patch.py": PATCH},
    "a patch by `from . import patch`": {"losses.py": f"from . import patch\n{MINE}", "patch.py": PATCH},
    "a patch in a function": {
        "losses.py": "class Mine:\n    def f(self):\n        import plug.patch\n",
        "patch.py": PATCH,
    },
    "a patch in the package itself": {"losses.py": MINE, "__init__.py": PATCH},
    "a patch that the package imports": {"losses.py": MINE, "__init__.py": "from . import patch\n", "patch.py": PATCH},
    "what a registry holds": {
        "losses.py": "KNOWN = {{}}\n\n\ndef register(name):\n    return lambda made: KNOWN.setdefault(name, made)\n\n\n"
        "class Mine:\n    def __init__(self, kind):\n        self.loss = KNOWN[kind]\n\n\n"
        "@register('a')\nclass A:\n    weight = {}\n",
    },
    "subclasses that are known by their class": {
        "losses.py": "class Mine:\n    known = []\n\n    def __init_subclass__(cls):\n"
        "        Mine.known.append(cls)\n\n\nclass A(Mine):\n    weight = {}\n",
    },
    "what is handed over and named by nobody": {
        "losses.py": f"from .a import _\n{MINE}",
        "a.py": "def reg(x):\n    return x\n\n\nclass A:\n    weight = {}\n\n\n_ = reg(A)\n",
    },
    "an operator of a library": {
        "losses.py": "import torch\nimport plug.a\n\n\nclass Mine:\n    f = torch.ops.plug.a\n",
        "a.py": "import torch\n\n\n@torch.library.custom_op('plug::a', mutates_args=())\ndef a(x):\n    return {}\n",
    },
    "by name, of a package that re-exports": {
        "losses.py": "from plug import kinds\n\nKIND = 'changed'\n\n\nclass Mine:\n    f = getattr(kinds, KIND)\n",
        "kinds/__init__.py": "from .a import changed\n",
        "kinds/a.py": CHANGED,
    },
    "by a star in a try": {
        "losses.py": "try:\n    from plug.a import *\nexcept E:\n    pass\n\n\nclass Mine:\n    f = changed\n",
        "a.py": CHANGED,
    },
    "a literal name": {
        "losses.py": "import importlib\n\n\nclass Mine:\n    f = importlib.import_module('plug.a').changed\n",
        "a.py": CHANGED,
    },
    "a literal name from here": {
        "losses.py": f"from importlib import import_module\n\nf = import_module('.a', __package__).changed\n\n\n{MINE}",
        "a.py": CHANGED,
    },
    "a class over the one that it is made from": {
        "losses.py": "from .a import A\n\n\nclass A(A):\n    weight = {}\n\n\nclass Mine(A):\n    pass\n",
        "a.py": "class A:\n    pass\n",
    },
    "a name over itself": {
        "losses.py": "from .a import x\n\n\nclass Mine:\n    f = [x for x in x]\n",
        "a.py": "x = [{}]\n",
    },
    "what a field is": {
        "losses.py": "from .a import Kind\n\n\nclass Mine(Model):\n    kind: Kind\n",
        "a.py": "class Kind(Model):\n    weight = {}\n",
    },
}
UNSEEN = {
    "another module": {"losses.py": MINE, "a.py": CHANGED},
    "words": {"losses.py": f'"""Words {{}}."""\n\n# Words {{}}.\n{MINE}'},
    "what is done as a program": {"losses.py": f"{MINE}\n\nif __name__ == '__main__':\n    print({{}})\n"},
    "imports that lead nowhere": {
        "losses.py": f"def f():\n    from ... import a\n    import_module('...a')\n    import_module('')\n\n\n{MINE}",
        "a.py": CHANGED,
    },
    "an import for the type check": {
        "losses.py": f"from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from .a import A\n\n\n{MINE}",
        "a.py": CHANGED,
    },
}


def said(folder: Path, files: dict[str, str], number: int) -> frozenset[str] | None:
    root = folder / str(number)
    for name, text in {"__init__.py": "", **files}.items():
        path = root / "plug" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("{}", str(number)).replace("{{", "{").replace("}}", "}"))
    return meanings(ROOT, Sources(frozenset(["plug"]), OURS, root=root))


@pytest.mark.parametrize("what", SEEN)
def test_all_that_can_be_reached_by_an_import_is_seen(tmp_path: Path, what: str) -> None:
    before, after = (said(tmp_path, SEEN[what], number) for number in (1, 2))
    assert None not in (before, after)
    assert before != after


@pytest.mark.parametrize("what", UNSEEN)
def test_what_is_not_imported_and_what_computes_nothing_is_not(tmp_path: Path, what: str) -> None:
    before, after = (said(tmp_path, UNSEEN[what], number) for number in (1, 2))
    assert before == after is not None


@pytest.mark.parametrize("what", ["a name over itself", "by a star in a try", "by name, of a package that re-exports"])
def test_names_mean_the_same_where_definitions_count_one_by_one(tmp_path: Path, what: str) -> None:
    found = []
    for number in (1, 2):
        said(tmp_path, SEEN[what], number)
        one_by_one = frozenset(["plug"])
        found.append(meanings(ROOT, Sources(one_by_one, one_by_one, root=tmp_path / str(number))))
    assert None not in found
    assert found[0] != found[1]


@pytest.mark.parametrize("place", ["site-packages", "dist-packages"])
def test_what_is_installed_anywhere_is_no_code_of_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    folder = tmp_path / "lib" / place
    folder.mkdir(parents=True)
    (folder / "installed_there.py").write_text("def made():\n    return 1\n")
    assert not folder.is_relative_to(sysconfig.get_path("purelib"))
    monkeypatch.syspath_prepend(str(folder))
    forget()
    assert meanings("installed_there.made", Sources(OURS, OURS)) is None
    assert meanings("installed_there.made", Sources(frozenset(["installed_there"]), OURS)) is not None
    forget()
