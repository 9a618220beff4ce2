"""What `trainer.channels_last` becomes on a device, and what is on record of it."""

import pytest
import torch

from lic_exp.config.errors import ConfigError
from lic_exp.config.loading import load_config
from lic_exp.runs import compiling
from lic_exp.runs import numerics as runs_numerics
from lic_exp.runs.build import build_objective
from lic_exp.runs.compiling import Measured, channels_last_as, device_name
from lic_exp.runs.numerics import channels_last_on_record, numerics
from lic_exp.tracking.run_folder import RunFolder

CPU = torch.device("cpu")


def config_of(value, *overrides, model="hpcm_tiny"):
    criterion = "variable_rate" if model.startswith("dhic") else "mse"
    chosen = [f"model={model}", f"criterion={criterion}", "data=synthetic", "data.crop_size=128"]
    return load_config([*chosen, f"trainer.channels_last={value}", *overrides])


@pytest.fixture
def known(monkeypatch):
    """Measured on this machine: {way: memory format} of hpcm_tiny."""

    def know(ways):
        entries = [
            Measured(device_name(CPU), "hpcm128", {}, "float32", way, memory_format, 1.0, 1.0, 128 * 128)
            for way, memory_format in ways.items()
        ]
        monkeypatch.setattr(compiling, "MEASURED", tuple(entries))

    return know


@pytest.mark.parametrize("value", ["last", "null", "1", "[auto]", "Auto", "contiguous"])
def test_another_value_is_refused_with_those_that_there_are(value):
    with pytest.raises(ConfigError, match=r"trainer\.channels_last=.*should be true, false or auto"):
        config_of(value)


def test_each_value_is_another_run():
    assert len({config_of(value).signature for value in ("true", "false", "auto")}) == 3


@pytest.mark.parametrize("value", ["true", "false"])
@pytest.mark.parametrize("ways", [{}, {False: "channels_last"}, {False: "contiguous"}])
def test_what_is_asked_for_is_done_whatever_was_measured(known, ways, value):
    known(ways)
    assert channels_last_as(config_of(value), CPU, False) is (value == "true")


@pytest.mark.parametrize(
    ("ways", "how", "found"),
    [
        ({}, False, False),
        ({False: "channels_last"}, False, True),
        ({False: "contiguous", "blocks": "channels_last"}, False, False),
        ({False: "contiguous", "blocks": "channels_last"}, "blocks", True),
        ({"blocks": "channels_last"}, False, False),
    ],
)
def test_auto_is_what_was_measured_of_the_way_that_is_gone(known, ways, how, found):
    """Also of a run that is too short for `trainer.compile=auto` to go it by itself."""
    known(ways)
    way = {False: "off"}.get(how, how)
    config = config_of("auto", f"trainer.compile={way}", "trainer.max_steps=2")
    assert numerics(config, CPU)["memory_format"] == ("channels_last" if found else "contiguous")
    other = config_of("auto", f"trainer.compile={way}", model="dhic_tiny")
    assert numerics(other, CPU)["memory_format"] == "contiguous"


@pytest.mark.parametrize("found", [True, False])
def test_weights_lie_as_it_says(known, found):
    known({False: "channels_last" if found else "contiguous"})
    kernels = [weight for weight in build_objective(config_of("auto"), CPU).codec.parameters() if weight.dim() == 4]
    wide = [weight for weight in kernels if min(weight.shape) > 1]
    assert wide
    assert {weight.is_contiguous(memory_format=torch.channels_last) for weight in wide} == {found}
    recorded = build_objective(config_of("auto"), CPU, channels_last=not found)
    assert any(weight.is_contiguous() is found for weight in recorded.codec.parameters() if weight.dim() == 4)


@pytest.mark.parametrize("before", ["contiguous", "channels_last"])
@pytest.mark.parametrize("now", [True, False])
def test_auto_goes_on_as_the_training_began(known, monkeypatch, tmp_path, before, now):
    """Not elsewhere, where it is asked anew and compared."""
    known({False: "channels_last" if now else "contiguous"})
    run = RunFolder(tmp_path / "aaaa")
    monkeypatch.setattr(runs_numerics, "gone_on_from", lambda config, run: run)
    for name, found in ((device_name(CPU), before == "channels_last"), ("Analytical Engine", now)):
        record = {**numerics(config_of("auto"), CPU), "memory_format": before, "device_name": name}
        monkeypatch.setattr(runs_numerics, "_in_force", lambda config, run, origin, record=record: record)
        assert channels_last_on_record(config_of("auto"), run, CPU) is found
        assert channels_last_on_record(config_of("true"), run, CPU) is True
