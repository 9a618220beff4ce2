"""What a `_target_` names must be a component of its group, told from its source before anything is made."""

import sys

import pytest
import yaml
from toy import write_package

from lic_exp import exit_codes
from lic_exp.cli.launch import main
from lic_exp.component_kinds import check_kind
from lic_exp.component_schema import describe
from lic_exp.config.compose import compose
from lic_exp.config.errors import ConfigError
from lic_exp.config.overrides import parse
from lic_exp.config.validation import validate
from lic_exp.places import conf_folder

NAME = "parts_of_all_kinds"

PARTS = """
import threading
import lic_exp.optimizers.schedules
from lic_exp.capabilities import CodecFacts, CriterionFacts
from lic_exp.optimizers import schedules as ours
from lic_exp.optimizers.schedules import Schedule
from lic_exp.spectral_reg.base import SpectralRegularizer

raise AssertionError("not to be imported")

class Near(Schedule): ...
class ByModule(ours.Schedule): ...
class ByPath(lic_exp.optimizers.schedules.Schedule): ...
class Elsewhere(threading.Thread):
    def __init__(self, optimizer): ...
def made(optimizer) -> Schedule: ...
def by_module(optimizer) -> ours.Schedule: ...
def unsaid(optimizer): ...
def nothing(optimizer) -> None: ...
class Images:
    def __init__(self): ...
    def train(self): ...
    def val(self): ...
    def fingerprint(self): ...
class Empty: ...
class Wants(Images):
    def __init__(self, folder): ...
class Codec:
    facts = CodecFacts(downsampling_factor=4, latents=1)
    def __init__(self, channels): ...
class Regularizer(SpectralRegularizer): ...
def step(params, *, lr: float): ...
def rate(params, *, rate: float): ...
def alone(*, lr: float): ...
def trees(path, mode, *, lr: float): ...
class Store:
    def __init__(self, run, name): ...
    def start(self): ...
    def poke(self): ...
    def finish(self, state): ...
"""


@pytest.fixture(scope="module", autouse=True)
def _package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kinds")
    write_package(folder, NAME, {"__init__.py": "", "parts.py": PARTS})
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield


def messages(*overrides):
    try:
        validate(compose(parse([f"plugins=[{NAME}]", "model=hyperprior_tiny", *overrides])), rules_too=False)
    except ConfigError as error:
        return error.messages
    return []


@pytest.mark.parametrize(
    ("path", "name"),
    [
        *(("scheduler", name) for name in ("Near", "ByModule", "ByPath", "Elsewhere", "made", "by_module")),
        *(("data", "Images"), ("spectral_reg", "Regularizer"), ("optimizer", "step"), ("tracker.mine", "Store")),
    ],
)
def test_a_component_of_its_group_is_taken(path, name):
    check_kind(path, describe(f"{NAME}.parts.{name}"))


@pytest.mark.parametrize(
    ("path", "target", "why"),
    [
        ("model", f"{NAME}.parts.Empty", "no model: it states no CodecFacts(...); see Codec of lic_exp/models/base.py"),
        ("model", f"{NAME}.parts.Codec", "no model: it wants at least 1 arguments by position, and gets 0"),
        ("model", "lic_exp.training.criterion.MSE", "no model: it states CriterionFacts(...)"),
        ("model", "lic_exp.optimizers.factories.adam", "no model: it states no CodecFacts(...)"),
        ("spectral_reg", f"{NAME}.parts.Images", "no regularizer: it has no method penalty"),
        ("spectral_reg", f"{NAME}.parts.unsaid", "no regularizer: it is a function, and does not say what it returns"),
        ("criterion", f"{NAME}.parts.Images", "no criterion: it states no CriterionFacts(...)"),
        ("criterion", "lic_exp.models.dhic.codec.DHIC", "no criterion: it states CodecFacts(...)"),
        ("optimizer", f"{NAME}.parts.rate", "no optimizer: it has no option lr"),
        ("optimizer", f"{NAME}.parts.alone", "no optimizer: it wants at most 0 arguments by position, and gets 1"),
        ("optimizer", f"{NAME}.parts.trees", "no optimizer: it wants at least 2 arguments by position, and gets 1"),
        ("optimizer", "lic_exp.data.sources.Folder", "no optimizer: it has no option lr"),
        ("scheduler", f"{NAME}.parts.Images", "no schedule: it has no method before_step"),
        ("scheduler", f"{NAME}.parts.nothing", "no schedule: it is a function, and does not say what it returns"),
        ("scheduler", "lic_exp.optimizers.muon.Muon", "no schedule: it has no method before_step"),
        ("data", f"{NAME}.parts.Near", "no data set: it has no method train"),
        ("data", f"{NAME}.parts.Wants", "no data set: it wants at least 1 arguments by position, and gets 0"),
        ("data", f"{NAME}.parts.Codec", "no data set: it states CodecFacts(...)"),
        ("tracker.mine", f"{NAME}.parts.Images", "no tracker: it has no method start"),
        ("tracker.mine", "lic_exp.models.hpcm.codec.HPCM", "no tracker: it states CodecFacts(...)"),
        ("spectral_reg.intra", "lic_exp.models.dhic.codec.DHIC", "no regularizer: it states CodecFacts(...)"),
        ("spectral_reg.intra", f"{NAME}.parts.Images", "no regularizer: it has no method penalty"),
        ("optimizer", "lic_exp.metrics.psnr", "no component: it has no name for signatures"),
        ("data", "lic_exp.cli.launch.main", "no component: it has no name for signatures"),
    ],
)
def test_another_is_refused_with_what_it_lacks(path, target, why):
    whole = ["spectral_reg=both", "model=dhic_tiny"] if path == "spectral_reg.intra" else []
    found = messages(*whole, f"{path}._target_={target}")
    assert [text for text in found if text.startswith(f"{path}._target_: {target} is {why}")], found
    assert f"{NAME}.parts" not in sys.modules


@pytest.mark.parametrize("package", ["os", "sys", "shutil", "builtins", "subprocess"])
@pytest.mark.parametrize("path", ["model", "optimizer", "tracker.mine"])
def test_pythons_own_modules_have_no_components(package, path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([f"plugins=[{package}]", f"{path}._target_={package}.system"]) == exit_codes.CONFIG
    assert f"plugins={package}: this is Python's own, and has no components" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("target", ["5", "[a]", "{a: b}", "a..b", "''"])
def test_a_target_that_is_no_dotted_path(target):
    assert any(text.startswith("model._target_") for text in messages(f"model._target_={target}"))


def test_every_option_of_ours_is_of_its_groups_kind():
    for path in conf_folder().glob("*/*.yaml"):
        node = yaml.safe_load(path.read_text()) or {}
        if node.get("_target_") and path.parent.name not in ("scale", "experiment", "debug"):
            check_kind(path.parent.name, describe(node["_target_"]))
