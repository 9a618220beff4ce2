"""Configs of runs that are older than an option of their component."""

from copy import deepcopy

import pytest

from lic_exp.config.compose import compose
from lic_exp.config.loading import load_config
from lic_exp.config.overrides import parse
from lic_exp.config.stored import stored_config

ADDED = {("model", "rdoq"): 0.0, ("criterion", "balance"): 0.0}


@pytest.mark.parametrize(("group", "key"), ADDED)
def test_a_component_s_option_that_a_config_lacks_is_as_before(group: str, key: str) -> None:
    plain = deepcopy(compose(parse([])))
    del plain[group][key]
    config = stored_config(plain)
    assert getattr(config, group).options[key] == ADDED[group, key]
    stated = load_config([f"{group}.{key}={ADDED[group, key]}"])
    assert config.signature == stated.signature == load_config([]).signature
