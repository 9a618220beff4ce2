"""What `trainer.compile` becomes on a device, and what is on record of it."""

import pytest
import torch

from lic_exp.config.errors import ConfigError
from lic_exp.config.loading import load_config
from lic_exp.runs import compiling
from lic_exp.runs.build import build_objective
from lic_exp.runs.compiling import compiled_as
from lic_exp.runs.numerics import numerics, without_graphs
from lic_exp.tracking.numerics import changes

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def config_of(model, way):
    criterion = "variable_rate" if model.startswith("dhic") else "mse"
    return load_config(
        [f"model={model}", f"criterion={criterion}", "data=synthetic", "data.crop_size=256", f"trainer.compile={way}"]
    )


@pytest.fixture
def named(monkeypatch):
    return lambda name: monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: name)


@pytest.mark.parametrize("model", ["dhic_tiny", "hpcm_tiny", "factorized_tiny"])
def test_graphs_are_cudas_alone_and_auto_takes_what_there_is(model):
    with pytest.raises(ConfigError, match=r"trains on cpu; full, blocks or off work here, and auto takes"):
        compiled_as(config_of(model, "graphs"), CPU)
    assert compiled_as(config_of(model, "auto"), CPU) is False
    assert compiled_as(config_of(model, "graphs"), CUDA) == "graphs"


@pytest.mark.parametrize(
    ("device", "model", "found"),
    [
        ("NVIDIA H200", "hpcm_base", "graphs"),
        ("NVIDIA H200", "dhic_paper", "graphs"),
        ("NVIDIA H200", "hyperprior", False),
        ("NVIDIA H100 80GB HBM3", "hpcm_base", False),
    ],
)
def test_auto_is_what_was_measured_of_a_device_and_a_model(named, monkeypatch, device, model, found):
    named(device)
    monkeypatch.setattr(compiling, "MEASURED", {("NVIDIA H200", name): "graphs" for name in ("hpcm", "dhic")})
    config = config_of(model, "auto")
    assert compiled_as(config, CUDA) == found
    assert numerics(config, CUDA)["compile"] == found


@pytest.mark.parametrize("model", ["factorized_tiny", "joint_autoregressive_tiny"])
def test_a_codec_without_repeated_blocks_is_refused_by_name(model):
    with pytest.raises(ConfigError, match=r"trainer\.compile: \w+ names no repeated blocks; full, or off"):
        build_objective(config_of(model, "blocks"), CPU)


def test_a_recording_that_failed_is_on_record_from_its_step_on():
    known = [{"from_step": 0, "device": "cuda", "compile": "graphs"}]
    assert without_graphs(known, 0) == [{"from_step": 0, "device": "cuda", "compile": True}]
    history = without_graphs(known, 40)
    assert history == [*known, {"from_step": 40, "device": "cuda", "compile": True}]
    assert changes(history) == ["went on elsewhere after step 40: compile on, not graphs"]
