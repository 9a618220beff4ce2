"""Weights that people bring, given to a run: it begins from them and says what it took, or nothing is started."""

import os
import runpy

import pytest
import torch
import toy
from checkout import ROOT
from toy_attempts import go, only_run

import lic_exp
from lic_exp import exit_codes
from lic_exp.models.files import CheckpointError
from lic_exp.models.weights import load_weights

BROUGHT = ROOT.parent / "shared" / "cases" / "make_cases.py"
LOADED = (
    *("older_names", "oldest_names", "compiled", "compiled_parallel", "lightning", "averaged", "under_net"),
    *("numpy_scalar", "arguments"),
)
REFUSED = {
    "model_and_ema": "say which, model.weights_key=model or model.weights_key=ema",
    "not_finite": "not_finite.pt holds weights that are not finite",
    "empty": "empty.pt is empty",
    "page": "page.pt is a web page",
}


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    if not BROUGHT.is_file():
        pytest.skip(f"there is no {BROUGHT}")
    folder = tmp_path_factory.mktemp("cases")
    runpy.run_path(str(BROUGHT))["weights"](folder)
    return folder / "weights"


@pytest.mark.parametrize("case", [*LOADED, *REFUSED])
def test_each_case_does_what_its_table_says(cases, case):
    codec = lic_exp.create_model("hyperprior_tiny")
    file = cases / f"{case}.pt"
    if case in LOADED:
        load_weights(codec, file, partial=False)
        expected = torch.load(cases / "compiled.pt", weights_only=True)
        named = codec.named_parameters()
        assert all(torch.equal(value, expected[f"_orig_mod.{name}"]) for name, value in named)
    else:
        with pytest.raises(ValueError, match=REFUSED[case]):
            load_weights(codec, file, partial=False)


@pytest.fixture
def weights(tmp_path, monkeypatch, toy_folder):
    """Of the toy codec; the working directory has nothing else."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lic_exp.runs.attempt_record.record_environment", lambda *arguments: {})
    return lic_exp.create_model("toy", plugins=[toy.NAME]).state_dict()


def refuse(capsys, *overrides):
    assert go("model.weights=w.pt", *overrides) == exit_codes.CONFIG
    said = capsys.readouterr()
    assert sorted(os.listdir()) == ["w.pt"]
    assert "Traceback" not in said.err
    return said.err


def test_a_run_begins_from_the_average_that_it_is_told_to_take(weights, capsys):
    """The toy's own YAML is older than the key."""
    torch.save({"net": weights, "ema": {f"module.{k}": v + 0.5 for k, v in weights.items()}}, "w.pt")
    assert "say which, model.weights_key=net or model.weights_key=ema" in refuse(capsys)
    assert go("model.weights=w.pt", "model.weights_key=ema", "evaluation.enabled=false") == exit_codes.DONE
    assert "w.pt: the weights lie under ema; module. was taken off their names" in capsys.readouterr().err
    assert "the weights lie under ema" in only_run().log.read_text()


@pytest.mark.parametrize("kind", ["a page", "a pipe", "not finite", "code"])
def test_nothing_is_started_from_what_are_no_weights(weights, capsys, kind):
    if kind == "a page":
        with open("w.pt", "w") as file:
            file.write("<html>")
    elif kind == "a pipe":
        os.mkfifo("w.pt")
    elif kind == "not finite":
        torch.save({key: value * float("nan") for key, value in weights.items()}, "w.pt")
    else:
        torch.save({"state_dict": weights, "config": CheckpointError()}, "w.pt")
    told = {
        "a page": "w.pt is a web page",
        "a pipe": "model.weights=w.pt is a pipe; name a file",
        "not finite": "w.pt holds weights that are not finite",
        "code": "w.pt holds code that would be run to read it: lic_exp.models.files.CheckpointError",
    }
    assert told[kind] in refuse(capsys)
