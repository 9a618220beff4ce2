"""When a run's complexity is counted: no first step waits for it, and no ending leaves it out."""

import importlib
import sys
from importlib.metadata import version

import pytest
import torch
from commands import QUICK

import lic_exp
from lic_exp import exit_codes
from lic_exp.cli.launch import main
from lic_exp.config.loading import load_config
from lic_exp.data import digest_store
from lic_exp.divergence import DivergedError
from lic_exp.evaluation.complexity import complexity
from lic_exp.runs import code_known, modules_read, train
from lic_exp.runs import complexity as recording
from lic_exp.runs.complexity import record_complexity
from lic_exp.tracking.run_folder import RunFolder
from lic_exp.training.trainer import Trainer

SMALL = ("model=factorized_tiny", *QUICK, "trainer.max_steps=2", "trainer.log_every_steps=1")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_first_steps_are_made_before(here, monkeypatch):
    logged = []

    def record(codec, run, config):
        logged.append(len(run.metrics_file.read_text().splitlines()))

    monkeypatch.setattr(train, "record_complexity", record)
    assert main([*SMALL]) == exit_codes.DONE
    assert [lines >= 2 for lines in logged] == [True]


@pytest.mark.parametrize("error", [DivergedError("the loss is NaN", 1), RuntimeError("out of memory")])
def test_a_training_that_ends_early_has_its_complexity_too(here, monkeypatch, error):
    def fit(_):
        raise error

    monkeypatch.setattr(Trainer, "fit", fit)
    assert main([*SMALL]) != exit_codes.DONE
    assert list(here.glob("runs/*/complexity.json"))


@pytest.fixture
def counted(monkeypatch, tmp_path):
    """How often a codec was counted."""
    times = []

    def count(codec):
        times.append(codec)
        return complexity(codec)

    monkeypatch.setattr(recording, "complexity", count)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    code_known.has_changed()
    return times


class Wrapped(torch.nn.Module):
    """A module of nobody's package."""


def recorded(place, *overrides, changed=None):
    config = load_config(["model=factorized_tiny", *overrides])
    codec = lic_exp.create_model("factorized_tiny", **config.model.options)
    if changed is not None:
        codec.add_module("own", changed)
    run = RunFolder(place)
    run.create()
    record_complexity(codec, run, config)
    return run.complexity.read_text()


def test_what_was_counted_once_is_looked_up(here, counted):
    first = recorded(here / "one")
    assert recorded(here / "two", "optimizer.lr=1e-3", "seed=3") == first
    assert len(counted) == 1


ANEW = {
    "other options": {"overrides": ["model.N=24"]},
    "a module of the user's own": {"changed": Wrapped()},
    "one of an unknown package": {"changed": type("Odd", (torch.nn.Module,), {"__module__": "nosuch.place"})()},
}


@pytest.mark.parametrize("what", ANEW)
def test_of_another_codec_nothing_is_known(here, counted, what):
    given = ANEW[what]
    recorded(here / "one")
    recorded(here / "two", *given.get("overrides", ()), changed=given.get("changed"))
    recorded(here / "three", *given.get("overrides", ()), changed=given.get("changed"))
    assert len(counted) == (2 if "overrides" in given else 3)


@pytest.mark.parametrize("package", ["torch", "compressai"])
def test_another_version_of_a_package_is_counted_anew(here, counted, monkeypatch, package):
    recorded(here / "one")
    monkeypatch.setattr(recording, "version", lambda name: "0" if name == package else version(name))
    recorded(here / "two")
    assert len(counted) == 2


PACKAGES = {
    "layers_of_others/__init__.py": "from layers_of_others.layers import Layer\n",
    "layers_of_others/layers.py": "import torch\nfrom roots_of_others import Root\n\nclass Layer(Root):\n    pass\n",
    "layers_of_others/deep/__init__.py": "WIDTH = 1\n",
    "roots_of_others.py": "import torch\n\nclass Root(torch.nn.Module):\n    pass\n",
}
"""Installed packages: a layer, and in another the class that it is one of."""


@pytest.mark.parametrize("edited", [None, *PACKAGES])
def test_an_installed_package_that_was_edited_is_counted_anew(here, counted, monkeypatch, edited):
    place = here / "site-packages"
    for name, text in PACKAGES.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
        module = name.removesuffix("/__init__.py").removesuffix(".py").replace("/", ".")
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.setattr(modules_read, "_libraries", {})
    layer = importlib.import_module("layers_of_others").Layer
    first = recorded(here / "one", changed=layer())
    assert recorded(here / "two", changed=layer()) == first
    assert len(counted) == 1
    if edited:
        (place / edited).write_text(PACKAGES[edited] + "MORE = 2\n")
    recorded(here / "three", changed=layer())
    assert len(counted) == (2 if edited else 1)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"null", b'{"height": 1}', b'{"height": 1, "width": 1, "parts": [1]}']
)
def test_what_is_no_count_is_counted_anew(here, counted, monkeypatch, text):
    first = recorded(here / "one")
    monkeypatch.setattr(digest_store, "read", lambda keys: dict.fromkeys(keys, text))
    assert recorded(here / "two") == first
    assert len(counted) == 2


def test_nothing_is_kept_of_a_process_that_runs_former_code(here, counted, monkeypatch):
    code_known.has_changed()
    monkeypatch.setattr(code_known, "_seen", [b"of before", code_known.contents()])
    for name in ("one", "two"):
        recorded(here / name)
    assert len(counted) == 2


def test_other_code_is_counted_anew(here, counted, monkeypatch):
    def begin():
        """As a process does that finds the code as it is."""
        monkeypatch.setattr(code_known, "_seen", [])
        code_known.has_changed()

    begin()
    recorded(here / "one")
    (here / "lic_exp").mkdir()
    monkeypatch.setattr(code_known, "PACKAGE", here / "lic_exp")
    begin()
    recorded(here / "two")
    (here / "lic_exp" / "new.py").write_text("")
    begin()
    recorded(here / "three")
    recorded(here / "four")
    assert len(counted) == 3
