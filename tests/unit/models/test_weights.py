"""Starting from weights: every form that files have, what does not fit, freezing, and rates per group."""

import logging
import os
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from training_parts import SmallCodec, objective, optimizers, stage, trainer

import lic_exp
from lic_exp.models.files import CheckpointError
from lic_exp.models.weights import export_weights, freeze, load_weights, matching, read_weights
from lic_exp.optimizers import factories
from lic_exp.training.checkpoint import Checkpoints

sgd = partial(factories.sgd, lr=1e-2, momentum=0.0, nesterov=False, weight_decay=0.0)


@pytest.fixture(scope="module")
def trained():
    """A codec whose weights differ from those that a new one has, with its entropy tables."""
    codec = lic_exp.create_model("hyperprior_tiny")
    with torch.no_grad():
        for number, parameter in enumerate(codec.parameters()):
            parameter.mul_(1.01 + 0.001 * number)
    codec.update()
    return codec


@pytest.fixture
def new():
    return lic_exp.create_model("hyperprior_tiny")


TABLES = ("_quantized_cdf", "_offset", "_cdf_length", "scale_table")


def without_tables(state):
    return {key: value for key, value in state.items() if not key.endswith(TABLES)}


def prefixed(state):
    return {f"module.{key}": value for key, value in state.items()}


FORMS = {
    "plain": lambda state: state,
    "state_dict": lambda state: {"epoch": 3, "state_dict": state, "optimizer": {"lr": 1.0}},
    "model_state_dict": lambda state: {"model_state_dict": state},
    "model": lambda state: {"model": state, "step": 3},
    "module.": prefixed,
    "state_dict of module.": lambda state: {"state_dict": prefixed(state), "loss": torch.tensor(1.0)},
    "no tables": without_tables,
    "no tables, wrapped": lambda state: {"state_dict": prefixed(without_tables(state))},
    "half precision": lambda state: {
        key: value.half() if value.is_floating_point() else value for key, value in state.items()
    },
}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "pickle"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_read(trained, new, tmp_path, form, legacy):
    """CompressAI's own files of 2020 are pickles, with tables."""
    path = tmp_path / "weights.pth.tar"
    torch.save(FORMS[form](trained.state_dict()), path, _use_new_zipfile_serialization=not legacy)
    load_weights(new, path, partial=False)
    for name, parameter in trained.named_parameters():
        expected = parameter.half().float() if form == "half precision" else parameter
        assert torch.equal(new.get_parameter(name), expected), name
    assert all(parameter.dtype == torch.float32 for parameter in new.parameters())


def test_what_was_exported_is_read_back_and_codes(trained, new, tmp_path):
    export_weights(trained, tmp_path / "codec.pt")
    plain = torch.load(tmp_path / "codec.pt", weights_only=True)
    assert any(key.endswith("_quantized_cdf") and value.numel() for key, value in plain.items())
    load_weights(new, tmp_path / "codec.pt", partial=False)
    for codec in (trained, new):
        codec.eval().update()
    x = torch.rand(1, 3, 64, 64)
    assert new.compress(x).strings == trained.compress(x).strings


def test_our_own_checkpoint_gives_its_codecs_weights(trained, new, tmp_path):
    checkpoints = Checkpoints(tmp_path, "me")
    checkpoints.save_step(5, {"step": 5, "codec": trained.state_dict(), "ema": None, "optimizers": {"net": {}}})
    load_weights(new, checkpoints.steps()[0], partial=False)
    assert torch.equal(new.g_a[0].weight, trained.g_a[0].weight)


def test_a_tilde_is_ones_home(trained, new, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    torch.save(trained.state_dict(), tmp_path / "w.pt")
    load_weights(new, "~/w.pt", partial=False)


def misfitting(trained):
    """Without g_s's last layer, with another shape in g_a, and with something unheard of."""
    state = dict(trained.state_dict())
    missing = [key for key in state if key.startswith("g_s.6.")]
    for key in missing:
        del state[key]
    state["g_a.0.weight"] = torch.zeros(7, 3, 5, 5)
    state["extra.weight"] = torch.zeros(3)
    return state, missing


def test_what_does_not_fit_is_named(trained, new, tmp_path):
    state, missing = misfitting(trained)
    torch.save(state, tmp_path / "w.pt")
    before = {name: value.clone() for name, value in new.state_dict().items()}
    with pytest.raises(ValueError, match=r"w\.pt does not fit") as error:
        load_weights(new, tmp_path / "w.pt", partial=False)
    told = str(error.value)
    own = tuple(new.g_a[0].weight.shape)
    assert f"missing {', '.join(sorted(missing))}" in told
    assert "unknown extra.weight" in told
    assert f"of another shape g_a.0.weight (7, 3, 5, 5) instead of {own}" in told
    assert told.endswith("model.partial_weights=true loads what does fit, and leaves the rest as a new model has it")
    assert all(torch.equal(value, new.state_dict()[name]) for name, value in before.items()), "nothing was loaded"


def test_what_fits_is_loaded_and_the_rest_is_named(trained, new, tmp_path, caplog):
    state, missing = misfitting(trained)
    torch.save(state, tmp_path / "w.pt")
    own = {key: new.state_dict()[key].clone() for key in [*missing, "g_a.0.weight"]}
    with caplog.at_level(logging.WARNING):
        load_weights(new, tmp_path / "w.pt", partial=True)
    for word in (*missing, "extra.weight", "g_a.0.weight (7, 3, 5, 5)"):
        assert word in caplog.text
    for key, value in new.state_dict().items():
        if not key.endswith(TABLES):
            assert torch.equal(value, own.get(key, trained.state_dict()[key])), key


def test_many_misfits_are_counted(tmp_path, new):
    torch.save({"g_a.0.bias": new.g_a[0].bias, **{f"x{i:02d}": torch.zeros(1) for i in range(20)}}, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"unknown x00, x01, x02, x03, x04, x05, x06, x07 and 12 more"):
        load_weights(new, tmp_path / "w.pt", partial=False)


def test_a_file_of_which_nothing_fits_is_an_error_even_in_part(new, tmp_path):
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"does not fit .*: missing .*; unknown conv\.weight$"):
        load_weights(new, tmp_path / "w.pt", partial=True)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({}, "it is an empty dictionary"),
        ({"epoch": 3}, "it holds epoch (int)"),
        ([1], "it is list"),
        (3, "it is int"),
        (torch.zeros(2), "it is torch.Tensor"),
        ({"state_dict": {}}, "it holds state_dict (dict)"),
        ({"state_dict": {"a": 1}}, "it holds state_dict (dict of int)"),
        ({"model": {"g_a.0.weight": np.zeros(3)}}, "it holds model (dict of numpy.ndarray)"),
        (
            {"shadow_params": [torch.zeros(3)], "decay": 0.9},
            "it holds shadow_params (list of torch.Tensor), decay (float)",
        ),
    ],
)
def test_a_file_without_a_state_dict_says_so(new, tmp_path, content, told):
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(CheckpointError) as error:
        read_weights(new, tmp_path / "w.pt")
    assert str(error.value) == f"{tmp_path / 'w.pt'} holds no state dict: {told}; save its tensors alone, " + (
        "as torch.save(model.state_dict(), 'weights.pt') does"
    )


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch '{self.path}'",)


def test_code_in_a_file_of_weights_is_not_executed(trained, new, tmp_path):
    trace = tmp_path / "executed"
    torch.save({"state_dict": trained.state_dict(), "args": Bomb(trace)}, tmp_path / "w.pt")
    with pytest.raises(CheckpointError, match="holds code that would be run"):
        read_weights(new, tmp_path / "w.pt")
    assert not trace.exists()


# Freezing


@pytest.mark.parametrize("patterns", [["g_a.*"], ["g_a.weight", "g_s.*"], ["*quantiles"], ["g_*"]])
def test_frozen_parameters_stay_and_the_others_move(tmp_path, patterns):
    of = objective()
    frozen = freeze(of.codec, patterns)
    assert frozen
    before = {name: value.detach().clone() for name, value in of.codec.named_parameters()}
    if patterns == ["g_*"]:
        with pytest.raises(ValueError, match="has no trainable parameters besides quantiles: nothing to optimise"):
            optimizers(of)
        return
    trainer(tmp_path, of, [stage(of, 3)], validate_every_steps=100).fit()
    for name, value in of.codec.named_parameters():
        assert torch.equal(value, before[name]) == (name in frozen), name


def test_freezing_names_what_it_froze():
    assert freeze(SmallCodec(), ["g_a.*", "*quantiles"]) == ["g_a.weight", "g_a.bias", "entropy.quantiles"]


def test_a_pattern_that_matches_nothing_is_an_error():
    with pytest.raises(
        ValueError, match=r"'g_x\.\*' matches no parameter; they begin with entropy, g_a, g_s, e\.g\. entropy\.\*"
    ):
        matching(SmallCodec(), "g_x.*")
    with pytest.raises(ValueError, match=r"'G_A\.\*' matches no parameter"):
        freeze(SmallCodec(), ["g_a.*", "G_A.*"])


def test_patterns_are_of_whole_names():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.g_a, self.g_a_extra = nn.Linear(1, 1), nn.Linear(1, 1)

    assert matching(Two(), "g_a.*") == ["g_a.weight", "g_a.bias"]


# Rates per group


def test_lr_factors_make_groups_and_scale_their_steps():
    """One step of plain gradient descent moves a weight by its rate times the same gradient."""
    steps = []
    for factors in ({}, {"g_a.weight": 0.5, "g_a.*": 0.1}):
        of = objective(noise=0.0)
        made = optimizers(of, sgd, lr=1e-2, lr_factors=factors)
        before = {name: value.detach().clone() for name, value in of.codec.named_parameters()}
        for parameter in of.codec.parameters():
            parameter.grad = torch.ones_like(parameter)
        made.step()
        steps.append({name: (before[name] - value).detach().mean() for name, value in of.codec.named_parameters()})
    assert [group["lr"] for group in made.net.param_groups] == [1e-2, 5e-3, 1e-3]
    ratios = {name: float(steps[1][name] / steps[0][name]) for name in steps[0]}
    expected = {"g_a.weight": 0.5, "g_a.bias": 0.1, "g_s.weight": 1.0, "g_s.bias": 1.0, "entropy.quantiles": 1.0}
    assert ratios == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ({"g_x.*": 0.1}, "lr_factors: 'g_x.*' matches no trainable parameter that an earlier pattern left"),
        ({"g_a.*": 0.1, "g_a.weight": 0.5}, "lr_factors: 'g_a.weight' matches no trainable parameter that an earlier"),
        ({"*": 0.1}, "lr_factors: every parameter has a factor; change lr instead of all of them"),
    ],
)
def test_factors_that_do_nothing_are_errors(factors, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011 (the whole message is compared)
        optimizers(objective(), lr_factors=factors)
    assert str(error.value).startswith(message)
