import pytest

from lic_exp.config.compose import compose
from lic_exp.config.errors import ConfigError
from lic_exp.config.overrides import parse
from lic_exp.config.validation import validate

BASE = ("data=synthetic", "model=dhic_tiny", "criterion=variable_rate", "spectral_reg=none")
UNMEASURED = "spectral_reg.gradient_every_steps=null"


def config_of(*overrides):
    return validate(compose(parse([*BASE, *overrides])))


@pytest.mark.parametrize(("word", "former"), [("off", "false"), ("full", "true")])
def test_two_words_are_the_former_values_and_name_the_same_run(word, former):
    now, before = (config_of(f"trainer.compile={value}") for value in (word, former))
    assert now.trainer.compile is before.trainer.compile is (former == "true")
    assert now.signature == before.signature
    assert now.plain() == before.plain()


def test_every_other_way_is_another_run():
    ways = ("off", "blocks", "full", "graphs", "auto")
    assert len({config_of(f"trainer.compile={way}").signature for way in ways}) == len(ways)


@pytest.mark.parametrize("value", ["fast", "Full", "1", "null", "[full]", "graph"])
def test_another_value_is_refused_with_those_that_there_are(value):
    with pytest.raises(ConfigError, match=r"trainer\.compile=.*should be off, blocks, full, graphs or auto"):
        config_of(f"trainer.compile={value}")


@pytest.mark.parametrize("precision", ["float32", "bf16", "fp16"])
def test_a_step_with_a_loss_scaler_is_not_recorded(precision):
    overrides = "trainer.compile=graphs", f"trainer.precision={precision}"
    if precision != "fp16":
        assert config_of(*overrides).trainer.compile == "graphs"
        return
    with pytest.raises(ConfigError, match=r"set trainer\.precision=bf16, or trainer\.compile=full"):
        config_of(*overrides)


@pytest.mark.parametrize("term", ["inter", "inter_predict"])
@pytest.mark.parametrize("way", ["full", "graphs", "auto", "blocks", "off"])
def test_a_term_that_asks_for_gradients_at_latents_needs_them_to_be_seen(term, way):
    asked = f"spectral_reg={term}", "spectral_reg.start=1", f"trainer.compile={way}"
    if way in ("blocks", "off", "auto"):
        assert config_of(*asked)
        return
    with pytest.raises(ConfigError, match="a compiled codec hides the gradient at its latents"):
        config_of(*asked)
    assert config_of(*asked, UNMEASURED)
