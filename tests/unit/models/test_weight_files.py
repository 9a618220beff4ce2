"""Weights in the wrappings and under the names of other tools: equal tensors and bits, or a refusal that helps."""

import argparse
import collections
import datetime
import logging
import os
import pathlib
from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

import lic_exp
from lic_exp.models.files import CheckpointError, save_whole
from lic_exp.models.weights import load_weights

X = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def changed(codec):
    """The codec with weights that differ from those of a new one."""
    with torch.no_grad():
        for number, parameter in enumerate(codec.parameters()):
            parameter.mul_(1.01 + 0.001 * number)
    return codec.eval()


@pytest.fixture(scope="module")
def trained():
    codec = changed(lic_exp.create_model("hyperprior_tiny"))
    codec.update()
    return codec


@pytest.fixture(scope="module")
def coded(trained):
    return trained.compress(X).strings


@pytest.fixture(scope="module")
def untrained():
    return lic_exp.create_model("hyperprior_tiny").eval()


@pytest.fixture
def new(untrained):
    return deepcopy(untrained)


class Holder(nn.Module):
    """What a framework keeps a model in: Lightning as `model`, timm's average as `module`."""

    def __init__(self, name, codec):
        super().__init__()
        setattr(self, name, codec)


def held(name, codec):
    return Holder(name, codec).state_dict()


def parts_compiled(codec):
    other = deepcopy(codec)
    other.g_a = torch.compile(other.g_a)
    return other.state_dict()


def average(codec):
    """Of parameters alone, another one."""
    return {key: value + 1e-3 if value.is_floating_point() else value for key, value in codec.state_dict().items()}


def training(codec):
    """What its example script saves."""
    optimizer = torch.optim.Adam(codec.parameters())
    for parameter in codec.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    codec.zero_grad()
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
    states = {"optimizer": optimizer.state_dict(), "aux_optimizer": optimizer.state_dict()}
    return {"epoch": 3, "state_dict": codec.state_dict(), "loss": 1.0, **states, "lr_scheduler": schedule.state_dict()}


WRAPPED = {
    "DataParallel": (lambda c: nn.DataParallel(c).state_dict(), "module. was taken off"),
    "compiled": (lambda c: torch.compile(c).state_dict(), "_orig_mod. was taken off"),
    "compiled, parallel": (lambda c: nn.DataParallel(torch.compile(c)).state_dict(), "module._orig_mod. was taken off"),
    "parallel, compiled": (lambda c: torch.compile(nn.DataParallel(c)).state_dict(), "_orig_mod.module. was taken off"),
    "a part compiled": (parts_compiled, "._orig_mod. was taken off"),
    "AveragedModel": (
        lambda c: AveragedModel(c).state_dict(),
        "module. was taken off their names; n_averaged left out",
    ),
    "Lightning": (
        lambda c: {"state_dict": held("model", c), "epoch": 3, "pytorch-lightning_version": "2"},
        "lie under state_dict; model. was",
    ),
    "Lightning, compiled": (lambda c: {"state_dict": held("net", torch.compile(c))}, "net._orig_mod. was taken off"),
    "an average in Lightning": (
        lambda c: {"state_dict": held("ema_model", AveragedModel(c))},
        "ema_model.module. was taken off their names; ema_model.n_averaged left out",
    ),
    "any one prefix": (
        lambda c: {f"student.codec.{k}": v for k, v in c.state_dict().items()},
        "student.codec. was taken",
    ),
    "timm's average": (lambda c: held("module", c), "module. was taken off"),
    "net": (lambda c: {"net": c.state_dict(), "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}}}, "under net"),
    "ema": (lambda c: {"ema": c.state_dict(), "step": 3}, "under ema"),
    "an average alone": (lambda c: {"state_dict_ema": held("module", c)}, "under state_dict_ema; module. was"),
    "deep": (lambda c: {"a": {"b": [{"generator": c.state_dict()}]}}, "under a.b.0.generator"),
    "beside another net": (
        lambda c: {"net": c.state_dict(), "discriminator": nn.Conv2d(3, 8, 3).state_dict(), "loss": torch.tensor(1.0)},
        "under net",
    ),
    "a training of CompressAI's": (training, "lie under state_dict"),
    "the same twice": (lambda c: {"model": c.state_dict(), "state_dict": c.state_dict()}, "under model"),
    "among other entries": (lambda c: {**c.state_dict(), "epoch": 3, "arch": "x"}, "epoch, arch left out"),
}


@pytest.mark.parametrize("wrapped", WRAPPED)
def test_wrapped_weights_load_to_equal_tensors_and_bits(trained, coded, new, tmp_path, caplog, wrapped):
    wrap, said = WRAPPED[wrapped]
    torch.save(wrap(trained), tmp_path / "w.pt")
    with caplog.at_level(logging.INFO):
        load_weights(new, tmp_path / "w.pt", partial=False)
    assert f"{tmp_path / 'w.pt'}: " in caplog.text
    assert said in caplog.text
    assert all(torch.equal(value, new.get_parameter(name)) for name, value in trained.named_parameters())
    new.update()
    assert new.compress(X).strings == coded


def test_of_plain_weights_nothing_is_said(trained, new, tmp_path, caplog):
    torch.save(trained.state_dict(), tmp_path / "w.pt")
    load_weights(new, tmp_path / "w.pt", partial=False)
    assert caplog.text == ""


TWO = {
    "model and ema": (("model", "ema"), lambda own, other: {"model": own, "ema": other}),
    "timm": (("state_dict", "state_dict_ema"), lambda own, other: {"state_dict": own, "state_dict_ema": other}),
    "deep": (
        ("nets.g", "nets.ema"),
        lambda own, other: {"nets": {"g": own, "ema": {f"module.{k}": v for k, v in other.items()}}},
    ),
    "of parameters alone": (
        ("params", "params_ema"),
        lambda own, other: {"params": own, "params_ema": {k: v for k, v in other.items() if "bound" not in k}},
    ),
    "beside the file's own": ((".", "ema"), lambda own, other: {**own, "ema": other}),
    "in one state dict": (
        ("state_dict.model", "state_dict.ema"),
        lambda own, other: {
            "state_dict": {f"{n}.{k}": v for n, s in (("model", own), ("ema", other)) for k, v in s.items()}
        },
    ),
}


@pytest.mark.parametrize("form", TWO)
def test_of_two_it_is_asked_which(trained, new, tmp_path, form):
    (first, second), make = TWO[form]
    own, other = trained.state_dict(), average(trained)
    torch.save(make(own, other), tmp_path / "w.pt")
    with pytest.raises(CheckpointError) as error:
        load_weights(new, tmp_path / "w.pt", partial=False)
    assert str(error.value).endswith(f"model.weights_key={first} or model.weights_key={second}")
    for place, expected in ((first, own), (second, other)):
        load_weights(new, tmp_path / "w.pt", partial=form == "of parameters alone", place=place)
        assert all(torch.equal(value, expected[name]) for name, value in new.named_parameters()), place


def test_other_tensors_among_the_names_are_not_left_out_unasked(trained, new, tmp_path):
    """What is no weight of the codec, such as a loss of its own, might as well be one of another codec."""
    state = {**held("model", trained), "criterion.window": torch.zeros(3)}
    torch.save({"state_dict": state}, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match=r"take those of one name, model\.weights_key=state_dict\.model$"):
        load_weights(new, tmp_path / "w.pt", partial=False)
    load_weights(new, tmp_path / "w.pt", partial=False, place="state_dict.model")
    half = {f"module.{k}" if k.startswith("g_a") else k: v for k, v in trained.state_dict().items()}
    torch.save(half, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"does not fit Hyperprior: missing g_a\..*; unknown module\.g_a\."):
        load_weights(new, tmp_path / "w.pt", partial=False)


def test_a_place_that_is_not_there_names_those_that_are(trained, new, tmp_path):
    torch.save({"model": trained.state_dict(), "ema": average(trained)}, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match=r"holds no weights under EMA: there are tensors under model, ema$"):
        load_weights(new, tmp_path / "w.pt", partial=False, place="EMA")


def test_an_average_in_a_checkpoint_of_ours_is_taken_where_it_is_named(trained, new, tmp_path, caplog):
    """Its codec is what is meant otherwise, and nothing need be said."""
    averaged = AveragedModel(trained)
    with torch.no_grad():
        averaged.module.g_a[0].weight.add_(1)
    save_whole({"identity": "me", "codec": trained.state_dict(), "ema": averaged.state_dict()}, tmp_path / "w.pt")
    load_weights(new, tmp_path / "w.pt", partial=False)
    assert caplog.text == ""
    assert torch.equal(new.g_a[0].weight, trained.g_a[0].weight)
    made = lic_exp.create_model("hyperprior_tiny", weights=str(tmp_path / "w.pt"), weights_key="ema")
    assert torch.equal(made.g_a[0].weight, averaged.module.g_a[0].weight)


def test_names_in_a_file_cannot_write_to_the_terminal(trained, new, tmp_path, caplog):
    torch.save({"\x1b[2J\n": {f"\u202e.{k}": v for k, v in trained.state_dict().items()}}, tmp_path / "w.pt")
    load_weights(new, tmp_path / "w.pt", partial=False)
    (record,) = caplog.records
    assert record.getMessage().isprintable()
    torch.save({"\x1b[2J": torch.zeros(1)}, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"unknown \\x1b\[2J") as error:
        load_weights(new, tmp_path / "w.pt", partial=False)
    assert str(error.value).isprintable()


# Names of earlier versions of CompressAI

ZOO = ["factorized", "hyperprior", "mean_scale_hyperprior", "joint_autoregressive", "cheng2020_anchor"]
FORMER = {
    "1.1.3 to 1.2.4": {"matrices.": "_matrix", "biases.": "_bias", "factors.": "_factor"},
    "1.0": {"matrices.": "_matrices.", "biases.": "_biases.", "factors.": "_factors.", ".skip.": ".downsample."},
}


def renamed(key, names):
    for today, former in names.items():
        if key.startswith("entropy_bottleneck.") or today == ".skip.":
            key = key.replace(today, former)
    return key


@pytest.mark.parametrize("version", FORMER)
@pytest.mark.parametrize("model", [f"{name}_tiny" for name in ZOO] + ["cheng2020_attention_tiny"])
def test_names_of_earlier_versions_load_as_compressai_loads_them(tmp_path, caplog, model, version):
    codec, new = changed(lic_exp.create_model(model)), lic_exp.create_model(model)
    state = {f"module.{renamed(key, FORMER[version])}": value for key, value in codec.state_dict().items()}
    assert {key.removeprefix("module.") for key in state} != codec.state_dict().keys()
    torch.save({"state_dict": state}, tmp_path / "w.pth.tar")
    with caplog.at_level(logging.WARNING):
        load_weights(new, tmp_path / "w.pth.tar", partial=False)
    assert all(torch.equal(value, new.get_parameter(name)) for name, value in codec.named_parameters())
    assert "names of an earlier CompressAI" in caplog.text


def test_names_of_two_versions_at_once_are_refused(trained, new, tmp_path):
    state = trained.state_dict()
    torch.save(state | {"entropy_bottleneck._matrix0": state["entropy_bottleneck.matrices.0"]}, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"two versions of CompressAI at once: entropy_bottleneck\._matrix0 is"):
        load_weights(new, tmp_path / "w.pt", partial=False)


# What stands beside the tensors

BESIDE = {
    "a NumPy number": np.float64(1),
    "a NumPy array": np.zeros(3),
    "arguments": argparse.Namespace(lmbda=0.01, out=pathlib.Path("/tmp")),
    "a Windows path": pathlib.PureWindowsPath("c:/x"),
    "a dictionary with defaults": collections.defaultdict(list, {"a": [1]}),
    "a queue": collections.deque([1.0, 2.0], maxlen=3),
    "a time": datetime.datetime(2026, 1, 1),
    "torch's version": torch.__version__,
    "a set": {frozenset([1])},
    "nothing": None,
}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "pickle"])
@pytest.mark.parametrize("beside", BESIDE)
def test_plain_data_beside_the_tensors_is_passed_over(trained, new, tmp_path, beside, legacy):
    content = {"state_dict": trained.state_dict(), "beside": [BESIDE[beside]]}
    torch.save(content, tmp_path / "w.pt", _use_new_zipfile_serialization=not legacy)
    load_weights(new, tmp_path / "w.pt", partial=False)
    assert torch.equal(new.g_a[0].weight, trained.g_a[0].weight)


@pytest.mark.parametrize(
    ("value", "name", "elsewhere"),
    [
        (np.float64(1), b"numpy.core.multiarray\n", b"numpy._core.multiarray\n"),
        (np.zeros(3), b"numpy.core.multiarray\n", b"numpy._core.multiarray\n"),
        (pathlib.PurePosixPath("a"), b"pathlib\n", b"pathlib._local\n"),
        (argparse.Namespace(a=1), b"argparse\nNamespace\n", b"omegaconf.dictconfig\nDictConfig\n"),
    ],
    ids=["a number of NumPy 2", "an array of NumPy 2", "a path of Python 3.13", "a package that need not be there"],
)
def test_plain_data_of_other_versions_needs_none_of_them(trained, new, tmp_path, value, name, elsewhere):
    """The older form names a class in a line of text, which may be another."""
    file = tmp_path / "w.pt"
    torch.save({"state_dict": trained.state_dict(), "v": value}, file, _use_new_zipfile_serialization=False)
    content = file.read_bytes()
    assert name in content
    file.write_bytes(content.replace(name, elsewhere, 1))
    load_weights(new, file, partial=False)
    assert torch.equal(new.g_a[0].weight, trained.g_a[0].weight)


class Config:
    """A class of a script of somebody's."""


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


REFUSED = {
    "a class of a script": (lambda _: {"config": Config()}, r"run to read it: test_weight_files\.Config\. Load"),
    "a whole model": (lambda _: nn.Sequential(nn.Conv2d(1, 1, 1)), r"torch\.nn\.modules\.\w+\.\w+"),
    "code": (lambda trace: {"config": Bomb(trace)}, r"run to read it: posix\.mkdir"),
    "a function": (lambda _: {"config": changed}, r"test_weight_files\.changed"),
    "many": (
        lambda _: [type.__call__(kind) for kind in (Config, nn.ReLU, nn.GELU, nn.Tanh, nn.SiLU, nn.Mish)],
        "and 1 more",
    ),
}


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "pickle"])
@pytest.mark.parametrize("kind", REFUSED)
def test_other_types_are_named_with_what_to_do(new, tmp_path, kind, legacy, protocol):
    make, told = REFUSED[kind]
    file, trace = tmp_path / "w.pt", tmp_path / "trace"
    torch.save(make(trace), file, _use_new_zipfile_serialization=not legacy, pickle_protocol=protocol)
    with pytest.raises(CheckpointError, match=told) as error:
        load_weights(new, file, partial=False)
    said = str(error.value)
    assert said.startswith(f"{file} holds code that would be run")
    assert said.endswith("torch.save(model.state_dict(), 'weights.pt') does")
    assert said.isprintable()
    assert "weights_only" not in said
    assert not trace.exists()


# What is in the tensors


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e300])
def test_weights_that_are_not_finite_are_refused_by_file_and_key(trained, new, tmp_path, value):
    """A number of float64 may be infinite as a codec's float32."""
    before = new.g_a[0].weight.clone()
    state = {
        key: tensor.double() if tensor.is_floating_point() else tensor for key, tensor in trained.state_dict().items()
    }
    state["g_s.2.bias"][1] = value
    torch.save({"model": state}, tmp_path / "w.pt")
    for partial in (False, True):
        with pytest.raises(
            ValueError, match=r"w\.pt holds weights that are not finite, NaN or infinity: g_s\.2\.bias;"
        ):
            load_weights(new, tmp_path / "w.pt", partial=partial)
    assert torch.equal(new.g_a[0].weight, before)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda tensor: tensor.to_sparse(), "sparse or complex"),
        (lambda tensor: tensor + 1j, "sparse or complex"),
        (lambda tensor: torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8), "quantized"),
        (lambda tensor: tensor.to("meta"), "without values"),
    ],
)
@pytest.mark.filterwarnings("ignore")  # torch's, of quantized and sparse tensors
def test_tensors_that_are_no_plain_numbers_are_named(trained, new, tmp_path, change, told):
    state = trained.state_dict() | {"g_s.2.bias": change(trained.g_s[2].bias.detach())}
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=rf"g_s\.2\.bias is {told}: save it as a dense tensor"):
        load_weights(new, tmp_path / "w.pt", partial=False)
