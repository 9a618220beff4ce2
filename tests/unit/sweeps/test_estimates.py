"""How long cells will take, where their stages take differently long."""

import pytest

from lic_exp.config.compose import compose
from lic_exp.config.overrides import parse
from lic_exp.config.signing import throughput_key
from lic_exp.config.validation import validate
from lic_exp.sweeps import estimates
from lic_exp.sweeps.launcher import Probe

MODEL = ["model=mean_scale_hyperprior_tiny", "tracker=none"]


def config(*overrides):
    return validate(compose(parse([*MODEL, *overrides])))


@pytest.mark.parametrize(
    ("stages", "pace"),
    [
        ("{steps: 10, data: {batch_size: 8}},{steps: 30, data: {batch_size: 2}}", (10 * 8 + 30 * 2) / 40),
        ("{steps: 6, data: {batch_size: 4}},{steps: 3},{steps: 1, data: {batch_size: 1}}", (6 * 4 + 3 * 8 + 1) / 10),
    ],
)
def test_each_stage_is_measured_and_counts_by_its_steps(monkeypatch, stages, pace):
    def measured(config, stages, probe, sweep):
        (stage,) = stages
        assert stage["steps"] == probe.steps
        return float(stage["data"].get("batch_size", config.data.batch_size))

    monkeypatch.setattr(estimates, "_measured", measured)
    staged = config("data.batch_size=8", "trainer.max_steps=null", f"stages=[{stages}]")
    assert estimates.measured_pace(staged, Probe(3, None), None) == pytest.approx(pace)


@pytest.mark.parametrize(
    "stages", ["{steps: 4, data: {batch_size: 2}}", "{steps: 2},{steps: 2, data: {crop_size: 64}}"]
)
def test_the_pace_of_a_run_without_stages_is_not_taken_for_one_with_them(stages):
    plain = throughput_key(config("trainer.max_steps=4"))
    assert throughput_key(config("trainer.max_steps=9")) == plain
    assert throughput_key(config("trainer.max_steps=9", "trainer.keep_every_steps=100")) == plain
    looks_again = throughput_key(config("criterion=balanced_mse"))
    assert looks_again != plain, "a forward pass more"
    assert throughput_key(config("trainer.profile=true")) == plain
    assert throughput_key(config("trainer.max_steps=null", f"stages=[{stages}]")) != plain
