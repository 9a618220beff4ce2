"""What `trainer.compile` becomes on a device, and what is on record of it."""

import re
import shutil

import pytest
import torch

from lic_exp.config.errors import ConfigError
from lic_exp.config.loading import load_config
from lic_exp.config.options import options
from lic_exp.runs import compiling
from lic_exp.runs.build import build_objective
from lic_exp.runs.compiling import MEASURED, PAYS, Measured, compiled_as, device_name
from lic_exp.runs.numerics import numerics, without_graphs
from lic_exp.tracking.numerics import changes

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
PIXELS = 8 * 256 * 256
HIDDEN = "spectral_reg.gradient_every_steps=null"


def config_of(model, way, *overrides):
    criterion = "variable_rate" if model.startswith(("dhic", "box")) else "mse"
    chosen = [f"model={model}", f"criterion={criterion}", "data=synthetic", "data.crop_size=256", "data.batch_size=8"]
    return load_config([*chosen, f"trainer.compile={way}", *overrides])


def measured(model, device="NVIDIA H200", way="graphs", **options):
    """100 s that are paid three times by 3 000 steps of 8 crops of 256x256."""
    return Measured(device, model, options, "float32", way, "contiguous", 100, 100, PIXELS)


@pytest.fixture
def named(monkeypatch):
    return lambda name: monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: name)


@pytest.fixture
def known(monkeypatch):
    return lambda *entries: monkeypatch.setattr(compiling, "MEASURED", entries)


@pytest.mark.parametrize("model", ["dhic_tiny", "hpcm_tiny", "factorized_tiny"])
def test_graphs_are_cudas_alone_and_auto_takes_what_there_is(model):
    with pytest.raises(ConfigError, match=r"trains on cpu; full, blocks or off work here, and auto takes"):
        compiled_as(config_of(model, "graphs"), CPU)
    assert compiled_as(config_of(model, "auto", "trainer.max_steps=20"), CPU) is False
    assert compiled_as(config_of(model, "graphs"), CUDA) == "graphs"


@pytest.mark.parametrize(
    ("device", "model", "found"),
    [
        ("NVIDIA H200", "hpcm_base", "graphs"),
        ("NVIDIA H200", "dhic_paper", "graphs"),
        ("NVIDIA H200", "dhic_low", False),
        ("NVIDIA H200", "hpcm_large", False),
        ("NVIDIA H200", "hyperprior", False),
        ("NVIDIA H100 80GB HBM3", "hpcm_base", False),
    ],
)
def test_auto_is_what_was_measured_of_a_device_and_a_model(named, known, device, model, found):
    named(device)
    known(measured("hpcm", M=320, analysis_depths=[2, 2, 4, 0]), measured("dhic", widths=[224, 288, 288, 416]))
    config = config_of(model, "auto", "trainer.max_steps=100000")
    assert compiled_as(config, CUDA) == found
    assert numerics(config, CUDA)["compile"] == found


STAGE = "stages=[{steps: 2000},{steps: %d, data: {crop_size: %d}}]"


@pytest.mark.parametrize(
    ("overrides", "found"),
    [
        (["trainer.max_steps=3000"], "graphs"),
        (["trainer.max_steps=2999"], False),
        (["trainer.max_steps=3000", "data.batch_size=7"], False),
        (["trainer.max_steps=3000", "data.batch_size=16"], "graphs"),
        (["trainer.max_steps=2900", "data.batch_size=16"], False),
        (["trainer.max_steps=12000", "data.crop_size=128"], "graphs"),
        (["trainer.max_steps=11999", "data.crop_size=128"], False),
        (["trainer.max_steps=null", "trainer.max_epochs=30", "data.steps_per_epoch=100"], "graphs"),
        (["trainer.max_steps=null", "trainer.max_epochs=29", "data.steps_per_epoch=100"], False),
        (["trainer.max_steps=null", STAGE % (1000, 256)], "graphs"),
        (["trainer.max_steps=null", STAGE % (1000, 128)], False),
        (["trainer.max_steps=null", STAGE % (4000, 128)], "graphs"),
        (["trainer.max_steps=3000", "trainer.precision=bf16"], False),
    ],
)
def test_auto_compiles_only_what_is_long_enough_to_pay(named, known, overrides, found):
    named("NVIDIA H200")
    known(measured("dhic"))
    assert compiled_as(config_of("dhic_paper", "auto", *overrides), CUDA) == found


@pytest.mark.parametrize("compiler", [None, "g++", "clang++", "CXX"])
def test_auto_compiles_nothing_without_a_compiler(named, known, monkeypatch, compiler):
    named("NVIDIA H200")
    known(measured("hpcm"))
    monkeypatch.delenv("CXX", raising=False)
    if compiler == "CXX":
        monkeypatch.setenv("CXX", "CXX")
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if name == compiler else None)
    config = config_of("hpcm_base", "auto", "trainer.max_steps=3000")
    assert compiled_as(config, CUDA) == ("graphs" if compiler else False)


@pytest.mark.parametrize("term", ["inter", "inter_predict"])
@pytest.mark.parametrize("way", [True, "blocks", "graphs"])
def test_auto_takes_no_way_that_a_term_refuses(named, known, term, way):
    named("NVIDIA H200")
    known(measured("dhic", way=way))
    overrides = "trainer.max_steps=3000", f"spectral_reg={term}", "spectral_reg.start=1"
    seeing = config_of("dhic_tiny", "auto", *overrides)
    assert compiled_as(seeing, CUDA) == ("blocks" if way == "blocks" else False)
    assert compiled_as(config_of("dhic_tiny", "auto", *overrides, HIDDEN), CUDA) == way


def test_of_several_ways_the_first_is_taken_that_can_be(named, known):
    named("NVIDIA H200")
    known(measured("dhic"), measured("dhic", way="blocks"))
    overrides = "trainer.max_steps=3000", "spectral_reg=inter", "spectral_reg.start=1"
    assert compiled_as(config_of("dhic_tiny", "auto", *overrides), CUDA) == "blocks"
    assert compiled_as(config_of("dhic_tiny", "auto", *overrides[:1]), CUDA) == "graphs"


def test_what_is_measured_of_this_cpu_is_taken_on_it(known):
    known(measured("dhic", device=device_name(CPU), way=True))
    assert compiled_as(config_of("dhic_tiny", "auto", "trainer.max_steps=3000"), CPU) is True
    assert compiled_as(config_of("dhic_tiny", "auto", "trainer.max_steps=30"), CPU) is False


@pytest.mark.parametrize("entry", MEASURED, ids=lambda entry: f"{entry.device}-{entry.model}-{entry.way}")
def test_no_short_run_is_compiled(entry):
    """A demonstration of 500 steps, or a study at scale=mini, keeps the bits that it has."""
    assert 1e-3 * 1600 * entry.saved_ms < PAYS * entry.start_s


@pytest.mark.parametrize("entry", MEASURED, ids=lambda entry: f"{entry.device}-{entry.model}-{entry.way}")
def test_an_entry_fits_one_model_of_those_shipped(named, monkeypatch, entry):
    monkeypatch.setattr(compiling, "device_name", lambda device: entry.device)
    precision = f"trainer.precision={entry.precision}"
    fitting = [name for name in options("model") if entry.fits(config_of(name, "auto", precision), CPU)]
    assert len(fitting) == 1


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


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(
    ("precision", "advice"),
    [("bf16", "trainer.compile=off trains without, and trainer.precision=float32"), ("float32", "off trains without$")],
)
def test_what_cannot_be_compiled_here_is_said_in_one_message(precision, advice):
    """Of all that a C++ compiler wrote its first error."""
    wrote = "\n".join(
        [*["C++ compile error", "x.cpp:1:2: warning: unused"] * 500, "x.cpp:7:1: error: conflicting", "more"]
    )

    def failing(*_):
        raise RuntimeError(wrote)

    config = config_of("dhic_tiny", "full", f"trainer.precision={precision}")
    with pytest.raises(ConfigError) as told, compiling.said_in_one_message(config):
        torch.compile(lambda x: x + 1, backend=failing)(torch.zeros(2))
    (message,) = told.value.messages
    assert message.startswith(
        f"trainer.compile=full: with trainer.precision={precision} torch's compiler makes no code"
    )
    assert "here (RuntimeError: x.cpp:7:1: error: conflicting): " in message
    assert re.search(advice, message)
    torch.compiler.reset()


def test_other_errors_of_a_training_stay_what_they_are():
    with pytest.raises(RuntimeError, match="of ours"), compiling.said_in_one_message(config_of("dhic_tiny", "full")):
        raise RuntimeError("of ours")
