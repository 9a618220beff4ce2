"""Rules belong to components: what the config room knows of their keys (nothing), and what a plugin can declare."""

import ast
import re
from pathlib import Path

import pytest
import yaml
from toy import write_package

import lic_exp.config
from lic_exp.component_schema import describe
from lic_exp.config.compose import compose
from lic_exp.config.errors import ConfigError
from lic_exp.config.overrides import parse
from lic_exp.config.schema import GROUPS, RunConfig
from lic_exp.config.validation import validate
from lic_exp.places import conf_folder

NAME = "declaring_plugin"

REGULARIZERS = '''
from typing import Literal

from lic_exp.option_types import NonNegativeFloat, Part
from lic_exp.conditions import Above, AtLeast, Not, Option
from lic_exp.requirements import Forbids, NoWeights, OnsetOptions, WindowOptions, declares
from lic_exp.spectral_reg.base import SpectralRegularizer


class Ramp(SpectralRegularizer):
    """A ramp of the learning rate [dB], in a unit of its own: nothing that our rules should have a say in."""

    def __init__(
        self,
        *,
        start: NonNegativeFloat | None,
        ramp: float,
        unit: str,
        truncation_start: float,
        truncation_length: float,
        truncation_unit: str,
        gradient_every_steps: int | None,
        lmbda_min: float,
        lmbda_max: float,
        overlap: float,
    ) -> None:
        super().__init__()


@declares(
    WindowOptions(start="first", length="most", unit="per"),
    Forbids(
        {"noisy": True},
        "{here}noisy={noisy}: what is compiled draws other noise; set {here}noisy=false, or trainer.compile=false",
        beside={"trainer.compile": True},
    ),
    Forbids(
        {"noisy": True},
        "noise needs a model of one scale, and this one has {codec.latents}",
        codec={"latents": Above(1)},
    ),
    NoWeights(),
)
class Windowed(SpectralRegularizer):
    def __init__(
        self,
        *,
        first: NonNegativeFloat,
        most: NonNegativeFloat,
        per: Literal["epoch", "step", "share"],
        noisy: bool,
    ) -> None:
        super().__init__()


@declares(
    OnsetOptions(start="at", ramp="rise", unit="per"),
    Forbids({"at": None}, "{here}at=null: give one", alone=True),
)
class Later(SpectralRegularizer):
    def __init__(
        self, *, at: NonNegativeFloat | None, rise: NonNegativeFloat, per: Literal["epoch", "step", "share"]
    ) -> None:
        super().__init__()


@declares(
    Forbids({"later.at": Not(None)}, "later.at={later.at}: set it to null"),
    Forbids({"later.per": Not(Option("windowed.per"))}, "later.per={later.per} must be {windowed.per}"),
)
class Both(SpectralRegularizer):
    def __init__(self, *, windowed: Part, later: Part) -> None:
        super().__init__()


@declares(Forbids({"rate": AtLeast(2)}, "rate={rate} is more than 2"))
def optimizer(params, *, lr: float, rate: float):
    raise AssertionError("not to be imported")
'''

OURS_TO_PLEASE = {"start": 1.5, "ramp": -2.5, "unit": "dB", "gradient_every_steps": 5, "overlap": 99.0}
OURS_TO_PLEASE |= {"truncation_start": -1.0, "truncation_length": 7.5, "truncation_unit": "share"}
OURS_TO_PLEASE |= {"lmbda_min": 3.0, "lmbda_max": 2.0}
WINDOWED = {"first": 0.0, "most": 10.0, "per": "epoch", "noisy": False}
LATER = {"at": 0.0, "rise": 1.0, "per": "epoch"}


def node(name, **options):
    return {"_target_": f"{NAME}.regularizers.{name}", **options}


FILES = {
    "ramp": node("Ramp", **OURS_TO_PLEASE),
    "windowed": node("Windowed", **WINDOWED),
    "later": node("Later", **LATER),
    "windowed_later": node("Both", windowed=node("Windowed", **WINDOWED), later=node("Later", **LATER | {"at": None})),
}


@pytest.fixture(scope="module", autouse=True)
def _plugin(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plugins")
    files = {f"conf/spectral_reg/{name}.yaml": yaml.safe_dump(file) for name, file in FILES.items()}
    rated = node("optimizer", lr=1.0, rate=1.0, aux_lr=1.0, lr_factors={}, reg_lr=None)
    files["conf/optimizer/rated.yaml"] = yaml.safe_dump(rated)
    write_package(folder, NAME, {"__init__.py": "", "regularizers.py": REGULARIZERS, **files})
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield


def messages(*overrides):
    try:
        validate(compose(parse([f"plugins=[{NAME}]", "model=mean_scale_hyperprior_tiny", *overrides])))
    except ConfigError as error:
        return error.messages
    return []


def component_keys():
    """The options of all shipped components that are no keys of the platform too."""
    platform = {key for schema in (RunConfig, *GROUPS.values()) for key in schema.model_fields}
    nodes = [yaml.safe_load(path.read_text()) or {} for path in conf_folder().glob("*/*.yaml")]
    targets = {node["_target_"] for node in nodes if node.get("_target_")}
    return {key for target in targets for key in describe(target).options} - platform


@pytest.mark.parametrize("module", ["rules", "requirements"])
def test_no_rule_knows_a_components_keys(module):
    tree = ast.parse((Path(lic_exp.config.__file__).parent / f"{module}.py").read_text())
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    keys = component_keys()
    assert {"lmbda", "truncation_start", "gradient_every_steps", "start"} <= keys
    known = [re.compile(rf"^{key}$|\.{key}\b|\b{key}=") for key in keys]
    assert not [(pattern, text) for pattern in known for text in texts if pattern.search(text)]


def test_a_plugin_that_uses_our_words_is_left_alone():
    assert messages("spectral_reg=ramp", "trainer.compile=true") == []
    assert messages("spectral_reg=ramp", "++spectral_reg.start=null") == []


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ("windowed", []),
        (
            "windowed spectral_reg.most=2.5",
            [
                "spectral_reg: first=0.0 and most=2.5 must be whole numbers of epochs; for a part of the training use "
                "per=share"
            ],
        ),
        (
            "windowed spectral_reg.noisy=true trainer.compile=true",
            [
                "spectral_reg.noisy=True: what is compiled draws other noise; set spectral_reg.noisy=false, or "
                "trainer.compile=false"
            ],
        ),
        ("windowed spectral_reg.noisy=true", []),
        ("later", []),
        ("later spectral_reg.at=null", ["spectral_reg.at=null: give one"]),
        ("windowed_later", []),
        (
            "windowed_later spectral_reg.later.at=3 spectral_reg.windowed.per=step spectral_reg.later.rise=0.5",
            [
                "spectral_reg: later.at=3.0: set it to null",
                "spectral_reg: later.per=epoch must be step",
                "spectral_reg.later: at=3.0 and rise=0.5 must be whole numbers of epochs; for a part of the training "
                "use per=share",
            ],
        ),
    ],
)
def test_a_plugin_declares_as_ours_do(overrides, expected):
    assert messages(*f"spectral_reg={overrides}".split()) == expected


def test_a_plugin_may_look_at_the_chosen_model():
    noisy = ("spectral_reg=windowed", "spectral_reg.noisy=true", "data.crop_size=256")
    assert messages(*noisy, "model=hpcm_tiny") == ["spectral_reg: noise needs a model of one scale, and this one has 3"]


def test_a_function_declares_by_the_same_decorator():
    assert messages("optimizer=rated") == []
    assert messages("optimizer=rated", "optimizer.rate=3") == ["optimizer: rate=3.0 is more than 2"]


def test_a_criterion_that_says_nothing_of_rates_is_told_so_in_general_words(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    criterion = "from lic_exp.capabilities import CriterionFacts\nclass Plain:\n    facts = CriterionFacts()\n"
    criterion += "    def __init__(self, *, weight: float): ...\n"
    conf = "_target_: plain_criterion.criteria.Plain\nweight: 1.0\n"
    files = {"__init__.py": "", "criteria.py": criterion, "conf/criterion/plain.yaml": conf}
    write_package(tmp_path, "plain_criterion", files)
    with pytest.raises(ConfigError) as error:
        validate(compose(parse(["plugins=[plain_criterion]", "model=dhic_tiny", "criterion=plain"])))
    assert error.value.messages == [
        "this model serves a range of rates, and this criterion has one: choose criterion=variable_rate"
    ]
