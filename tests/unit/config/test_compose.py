from typing import Any

import hydra
import pytest
import toy
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from lic_exp.config.compose import compose
from lic_exp.config.composer import Composer
from lic_exp.config.errors import ConfigError
from lic_exp.config.loading import everything_said
from lic_exp.config.options import groups, options
from lic_exp.config.overrides import cells, parse, parse_each, parsed, quoted
from lic_exp.config.schema import GROUPS
from lic_exp.places import conf_folder


def messages(*overrides):
    with pytest.raises(ConfigError) as error, everything_said():
        compose(parse(overrides))
    return error.value.messages


def test_a_value_arrives_with_its_type():
    config = compose(parse(["optimizer.lr=3e-4", "tags=[a,b]", "data.steps_per_epoch=null", "data.flip=false"]))
    assert config["optimizer"]["lr"] == 3e-4
    assert config["tags"] == ["a", "b"]
    assert config["data"]["steps_per_epoch"] is None
    assert config["data"]["flip"] is False


def test_interpolations_are_resolved():
    assert compose(parse(["seed=7", "name='seed ${seed}'"]))["name"] == "seed 7"


def test_hydras_own_node_is_left_out():
    assert "hydra" not in compose(parse([]))


def test_every_group_of_the_schema_is_a_folder_of_options():
    assert set(GROUPS) <= set(groups())
    assert all(options(group) for group in GROUPS)


def test_the_command_line_beats_a_debug_option_which_beats_the_groups():
    assert compose(parse(["debug=limit"]))["trainer"]["max_steps"] == 4
    assert compose(parse(["debug=limit", "trainer.max_steps=7"]))["trainer"]["max_steps"] == 7


@pytest.mark.parametrize("plus", ["", "+", "++"])
def test_unknown_keys_are_let_through_to_the_validation(plus):
    """Hydra alone would refuse the first form with the advice to write the second, which it then accepts."""
    assert compose(parse([f"{plus}optimizer.lrr=1", f"{plus}typo=1"]))["optimizer"]["lrr"] == 1


def test_sweeps_are_noticed():
    assert parse(["seed=1,2"]).sweeping
    assert parse(["model=hyperprior,factorized"]).sweeping
    assert not parse(["seed=1", "tags=[1,2]"]).sweeping


def test_every_choice_of_a_sweep_is_judged():
    (message,) = messages("model=hyperprior,nosuch", "seed=1,2")
    assert message.startswith("model=hyperprior,nosuch: model has no option 'nosuch'. Valid: box, cheng2020_anchor, ")


def test_a_plugin_adds_options(toy_folder):
    assert {"toy", "toy_pyramid", "hyperprior"} <= set(options("model", [toy.NAME]))
    assert "toy" not in options("model")
    config = compose(parse([f"plugins=[{toy.NAME}]", "model=toy", "model.channels=3"]))
    assert config["model"]["_target_"] == f"{toy.NAME}.codecs.Toy"
    assert config["model"]["channels"] == 3


def test_a_plugins_option_may_not_take_the_name_of_one_of_ours(tmp_path, monkeypatch):
    """Hydra would silently take ours."""
    toy.write_package(tmp_path, "clashing_toy", {"__init__.py": "", "conf/model/hyperprior.yaml": "N: 1\n"})
    monkeypatch.syspath_prepend(str(tmp_path))
    (message,) = messages("plugins=[clashing_toy]", "model=hyperprior")
    assert message == "plugins=clashing_toy: there is a model=hyperprior already; rename yours"


def test_a_running_hydra_is_left_alone():
    with hydra.initialize_config_dir(str(conf_folder()), version_base="1.3"):
        before = GlobalHydra.instance().hydra
        compose(parse([]))
        assert GlobalHydra.instance().hydra is before
    assert compose(parse([]))["seed"] == 0


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model=nosuch", "model=nosuch: model has no option 'nosuch'. Valid: box, cheng2020_anchor, "),
        ("model=hyperprio", "model has no option 'hyperprio'. Did you mean hyperprior? Valid: "),
        ("+model=hyperprio", "Did you mean hyperprior?"),
        ("model=null", "model has no option 'null'. Valid: "),
        ("model=''", "model has no option ''. Valid: "),
        ("model=[hyperprior,factorized]", "model has no option "),
        ("spectral_reg=null", "Did you mean none? Valid: "),
        ("~tracker", "~tracker: a key cannot be removed"),
        ("optimizer.lr", "An override has the form key=value."),
        ("optimizer.lr=[", "optimizer.lr=[: cannot be read"),
        ("=1", "=1: the key is missing"),
        ("tags.x=1", "tags.x=1: "),
        ("name=${oc.env:NO_SUCH_VARIABLE}", "name=${oc.env:NO_SUCH_VARIABLE}: "),
        ("seed=${nosuch}", "seed=${nosuch}: Interpolation key 'nosuch' not found"),
        ("plugins=nosuch", "plugins=nosuch: should be a list, e.g. plugins=[my_package]"),
        ("plugins=[nosuch]", "plugins=nosuch: there is no such package; install it"),
    ],
)
def test_an_override_that_cannot_be_composed(override, message):
    (found,) = messages("seed=1", override, "optimizer.lr=1e-4")
    assert message in found


def test_every_error_is_reported_at_once():
    found = messages("model=nosuch", "tracker=mlflw", "optimizer.lr=abc", "+typo=1", "x", "seed=1,2")
    assert [message.split(":")[0] for message in found] == [
        "x",
        "model=nosuch",
        "tracker=mlflw",
        "typo",
        "optimizer.lr=abc",
    ]


def test_several_values_need_a_sweep() -> None:
    with pytest.raises(ConfigError, match=r"optimizer.lr=1e-4,2e-4: several values need -m"):
        cells(["optimizer.lr=1e-4,2e-4"], several=False)


def test_a_sweep_is_its_cells() -> None:
    swept = cells(["model=hyperprior,factorized", "seed=0,1", "optimizer.lr=1e-3"], several=True)
    configs = [compose(cell) for cell, _ in swept]
    assert swept[1][1] == {"model": "hyperprior", "seed": 1}
    assert [(config["model"]["_target_"].rpartition(".")[2], config["seed"]) for config in configs] == [
        ("Hyperprior", 0),
        ("Hyperprior", 1),
        ("Factorized", 0),
        ("Factorized", 1),
    ]
    assert {config["optimizer"]["lr"] for config in configs} == {1e-3}


LINES = [
    ["model=hyperprior_tiny", "seed=1"],  # whose criterion follows from it
    ["model=dhic_tiny", "seed=1"],
    ["model=hyperprior", "seed=3", "optimizer.lr=1e-3"],
    ["model=hyperprior", "seed=4", "name='a, b=c $(x) \u00e9\n'", "tags=[x,'y z']"],
    ["model=hyperprior", "optimizer.lr_factors={g_a:0.5}", "data.val_limit=null"],
    ["model=hyperprior", "name=${seed}"],
    ["spectral_reg=both", "seed=5", "name='back\\slash $(x)'"],  # where a value is another's
    ["spectral_reg=both_predict", "spectral_reg.intra.truncation_unit=step", "spectral_reg.inter.delta=0.2"],
    ["spectral_reg=both_cos", "spectral_reg.inter.unit=share", "paths.runs=elsewhere"],
    ["optimizer=sgd", "tracker=[tensorboard]", "+trainer.max_steps=7", "trainer.max_steps=8"],
]


@pytest.mark.parametrize("line", LINES, ids=str)
def test_setting_values_on_a_composed_choice_is_what_hydra_does(line: list[str]) -> None:
    composer = Composer()
    composer(parse(["model=hyperprior", "seed=99"]))  # another cell of the same choice must leave no trace
    assert composer(parse(line)) == compose(parse(line))


def test_values_that_depend_on_others_are_composed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    by_hydra = hydra.compose

    def counted(name: str, *given: Any, **options: Any) -> DictConfig:
        made.append(name)
        return by_hydra(name, *given, **options)

    monkeypatch.setattr(hydra, "compose", counted)
    composer = Composer()
    lines = [["spectral_reg=both", f"spectral_reg.intra.truncation_unit={unit}"] for unit in ("epoch", "step", "share")]
    units = [composer(parse(line))["spectral_reg"]["inter"]["unit"] for line in lines]
    assert (units, len(made)) == (["epoch", "step", "share"], 1)


def test_what_hydra_refuses_a_sweep_refuses_in_its_words() -> None:
    line = parse(["tags.x=1"])
    with pytest.raises(ConfigError) as expected:
        compose(line)
    with pytest.raises(ConfigError) as found:
        Composer()(line)
    assert found.value.messages == expected.value.messages


DATA = ["plain", "", "a b", "it's", 'say "x"', "back\\slash", "ends in \\", "\\'", "new\nline", "tab\t", "a,b", "[1]"]
DATA += ["{a:1}", "$(rm -rf /)", "`x`; x && y | z > w", "\u00e9\u4e2d\u6587", "null", "true", "1e-3", "=", "%", "#"]
VALUES = [*DATA, None, True, 3, 0.1, 1e-9, [1, "a b", None], {"k": [0.5, "x'y"]}]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_is_quoted_so_that_it_means_itself(value: object) -> None:
    assert parsed(f"name={quoted(value)}").value() == value


def test_many_lines_are_judged_as_one_by_one() -> None:
    lines = [["seed=1", "optimizer.lr=1e-3"], ["seed=2", "optimizer.lr=1e-3", "model=hyperprior"]]
    assert [one.arguments for one in parse_each(lines)] == [parse(line).arguments for line in lines]
    with pytest.raises(ConfigError, match="model=nosuch"):
        parse_each([["seed=1"], ["model=nosuch"]])
