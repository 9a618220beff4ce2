"""Numbers that nothing takes, entries that stand twice, and what Python code gives in place of a list."""

import pytest

import lic_exp
from lic_exp.config.errors import ConfigError
from lic_exp.config.loading import load_config, load_part

WIDE, LONG = str(2**64), "9" * 400


def refusal(*overrides):
    with pytest.raises(ConfigError) as error:
        load_config(overrides)
    return error.value.messages


@pytest.mark.parametrize("number", [WIDE, LONG, "1e30", "1e300"])
@pytest.mark.parametrize(
    "override",
    [
        *("seed=%", "data=synthetic data.image_seed=%", "trainer.max_steps=%", "trainer.nonfinite_budget=%"),
        *("data.cache_mb=%", "evaluation.limit=%", "model.latent_channels=[%,1,1,1]", "model=hyperprior model.N=%"),
        *("trainer.threads=%", "data.num_workers=%", "trainer.max_steps=null stages=[{steps:%}]"),
        "trainer.max_steps=null stages=[{steps:1,data:{batch_size:%}}]",
    ],
)
def test_a_whole_number_has_bounds(override, number):
    if "stages" in override:  # where no float becomes a whole number
        number = number.replace("1e", "1" + "0" * 20)
    (message,) = [
        text for text in refusal(*override.replace("%", number).split()) if " at most " in text or "less" in text
    ]
    assert len(message) < 250


@pytest.mark.parametrize("override", ["optimizer.lr=%", "evaluation.qualities=[%]", "optimizer.lr_factors={g_a:%}"])
@pytest.mark.parametrize("number", [LONG, "1e999", "-1e999", "nan"])
def test_a_number_is_finite(override, number):
    (message,) = refusal(override.replace("%", number))
    assert len(message) < 250


@pytest.mark.parametrize("key", ["x" * 400, "model." + "x" * 400, "9" * 400])
def test_a_key_may_be_too_long_for_a_file_name(key):
    refusals = ("there is no such key", "File name too long", "A key has letters")
    assert any(words in text for text in refusal(f"{key}=1") for words in refusals)


def test_the_largest_are_taken():
    config = load_config([f"seed={2**64 - 1}", f"trainer.max_steps={2**63 - 1}", "data.num_workers=1024"])
    assert (config.seed, config.trainer.max_steps) == (2**64 - 1, 2**63 - 1)


def test_whole_floats_in_a_list_become_integers_one_by_one():
    model = load_config(["model.latent_channels=[1e1,8,6.0,4]"]).model
    assert model.options["latent_channels"] == [10, 8, 6, 4]


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ("tracker=[mlflow,mlflow]", "tracker=[mlflow,mlflow]: mlflow stands there twice"),
        ("tracker=[mlflow,none]", "tracker=[mlflow,none]: none is for itself: leave it out, or choose tracker=none"),
        ("tracker=[none,none]", "tracker=[none,none]: none stands there twice"),
        ("data=folder data.train=[d,d] data.val=[e]", "data.train[0] and [1] are one, d: it would count twice"),
        ("data=folder data.train=[d] data.val=[e,f,./e]", "data.val[0] and [2] are one, ./e: it would count twice"),
        ("data=folder data.train=[d,f/../d/] data.val=[e]", "data.train[0] and [1] are one, f/../d/: it would"),
    ],
)
def test_what_stands_twice_is_refused(overrides, expected):
    (message,) = refusal(*overrides.split())
    assert message.startswith(expected)


@pytest.mark.parametrize(("key", "hint"), [("model", ""), ("step", " Did you mean steps?"), ("trainer", "")])
def test_a_stage_lists_its_keys(key, hint):
    found = refusal("trainer.max_steps=null", f"stages=[{{steps:1}},{{steps:2,{key}:{{a:3}}}}]")
    valid = "Valid: steps, optimizer_state, data, optimizer, scheduler"
    assert f"stages[1].{key}: there is no such key.{hint} {valid}" in found


GIVEN = {
    "run": lic_exp.run,
    "plan": lic_exp.plan,
    "sweep": lic_exp.sweep,
    "search": lambda given: lic_exp.search(given, trials=2),
    "signature": lic_exp.signature,
    "load_config": lic_exp.load_config,
    "in the house": load_config,
}


@pytest.mark.parametrize("name", GIVEN)
def test_one_text_is_no_list_of_overrides(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as error:
        GIVEN[name]("debug=limit")
    assert error.value.messages == ["overrides='debug=limit' is one text; give a list of them: ['debug=limit']"]
    with pytest.raises(ConfigError, match="overrides: 3 is no text"):
        GIVEN[name]([3])
    with pytest.raises(ConfigError, match=r"paths\.runs=,x: cannot be read"):
        GIVEN[name](["paths.runs=,x"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "given",
    [
        lambda: lic_exp.list_models("abc"),
        lambda: lic_exp.list_regularizers("abc"),
        lambda: lic_exp.create_model("dhic_tiny", plugins="abc"),
        lambda: load_part("model", "dhic_tiny", plugins="abc"),
    ],
)
def test_one_text_is_no_list_of_plugins(given):
    with pytest.raises(ConfigError, match="plugins='abc' is one text; give a list of them"):
        given()
