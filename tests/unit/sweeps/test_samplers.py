"""How a search proposes values."""

import pytest

from lic_exp.config.axes import Axis
from lic_exp.sweeps.samplers import OptunaSampler, RandomSampler

AXES = [
    Axis("optimizer.lr", low=1e-4, high=1e-2, log=True),
    Axis("data.batch_size", low=1, high=8, whole=True),
    Axis("optimizer", ("adam", ["sgd"])),
]


@pytest.mark.parametrize("sampler", [RandomSampler, OptunaSampler])
def test_a_sampler_asks_within_its_axes_and_again_the_same(sampler):
    if sampler is OptunaSampler:
        pytest.importorskip("optuna", reason="the extra hpo is not installed")
    told = []
    for number in range(12):
        (values,) = sampler(AXES, seed=1).ask(told, 1)
        assert sampler(AXES, seed=1).ask(told, 1) == [values]
        assert 1e-4 <= values["optimizer.lr"] <= 1e-2
        assert values["data.batch_size"] in range(1, 9)
        assert values["optimizer"] in ("adam", ["sgd"])
        told.append((values, None if number == 3 else abs(values["optimizer.lr"] - 3e-3)))
    assert len({values["optimizer.lr"] for values, _ in told}) == 12
