"""What a command finds wrong is told by its own flags: its user gave no key of a config."""

import shlex

import pytest
import torch

import lic_exp
from lic_exp import exit_codes
from lic_exp.__main__ import main
from lic_exp.cli.flags import flags_named
from lic_exp.config.errors import ConfigError
from lic_exp.models.files import CheckpointError
from lic_exp.models.weight_files import find_weights
from lic_exp.runs import complexity as runs_complexity


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Weights: of a tiny model, the same twice, half of them, of the other mode, and what is no weights."""
    folder = tmp_path_factory.mktemp("files")
    weights = lic_exp.create_model("hpcm_tiny", compat=True).state_dict()
    twice = {"net": weights, "an ema": {key: value + 1 for key, value in weights.items()}}
    half = {key: value for key, value in weights.items() if not key.startswith("g_a.")}
    own = lic_exp.create_model("hpcm_tiny", compat=False).state_dict()
    for name, content in (("plain", weights), ("twice", twice), ("half", half), ("own", own)):
        torch.save(content, folder / f"{name}.pt")
    (folder / "text.pt").write_text("I am a text.")
    return folder


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["plain.pt", "--device", "zzz"], "--device=zzz: there is no such device: write auto, cpu, cuda or cuda:0"),
        (["plain.pt", "--device", "cuda:77"], "--device=cuda:77: this machine has"),
        (["plain.pt", "--model", "hpcm_tin"], "--model=hpcm_tin: model has no option 'hpcm_tin'. Did you mean"),
        (["plain.pt", "--no-compat"], "CKPT: {files}/plain.pt: these weights are not of the corrected mode"),
        (
            ["own.pt"],
            "CKPT: {files}/own.pt: these weights are of the corrected mode (they have corrected): give --no-c",
        ),
        (["twice.pt"], "say which, --weights-key=net or '--weights-key=an ema'"),
        (["twice.pt", "--weights-key", "mean"], "CKPT: {files}/twice.pt holds no weights under mean"),
        (["half.pt"], "CKPT: {files}/half.pt does not fit HPCM128: missing g_a."),
        (["text.pt"], "CKPT: {files}/text.pt is a text, not a file of weights"),
        (["nowhere.pt"], "CKPT: {files}/nowhere.pt cannot be read: No such file or directory"),
        (["plain.pt", "--data", "nowhere"], "--data: "),
        (["plain.pt", "--published", "kodac"], "--published: no data set 'kodac'"),
    ],
)
def test_verify_speaks_of_its_own_flags(files, photos, tmp_path, monkeypatch, given, message, capsys):
    monkeypatch.chdir(tmp_path)
    defaults = {"--model": "hpcm_tiny", "--data": str(photos / "val")}
    own = [part for flag, value in defaults.items() if flag not in given for part in (flag, value)]
    assert main(["verify", str(files / given[0]), *given[1:], *own]) == exit_codes.CONFIG
    said = capsys.readouterr().err
    assert message.format(files=files) in said
    for key in ("model.", "trainer.", "evaluation.", "data."):
        assert key not in said.replace(str(files), "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["hpcm_tin"], "MODEL hpcm_tin: model has no option 'hpcm_tin'. Did you mean hpcm_tiny?"),
        (["hpcm_tiny", "model=dhic_tiny"], "model=dhic_tiny: MODEL says that already, hpcm_tiny"),
        (["hpcm_tiny", "--size", "10x10"], "--size: 10x10 is no size for HPCM128: its sides are multiples of 128"),
        (["hpcm_tiny", "--size", "10"], "--size=10: should be height x width"),
        (["hpcm_tiny", "model.widths=3"], "model.widths=3: should be a list"),
    ],
)
def test_complexity_speaks_of_its_own_arguments(given, message, capsys):
    assert main(["complexity", *given]) == exit_codes.CONFIG
    assert capsys.readouterr().err.startswith(message)


@pytest.mark.parametrize("error", [ValueError("no such thing"), ConfigError(["model.N: no such thing"])])
def test_what_is_not_about_the_size_does_not_name_it(error, monkeypatch, capsys):
    def refuses(*_):
        raise error

    monkeypatch.setattr(runs_complexity, "complexity", refuses)
    assert main(["complexity", "hyperprior_tiny", "--size", "256x256"]) == exit_codes.CONFIG
    said = capsys.readouterr().err
    assert "no such thing" in said
    assert "--size" not in said


@pytest.mark.parametrize("place", ["a b", 'a"b', "a\\", "a\\b", 'x\\"', "0", "é", "a.b c", "it's"])
def test_a_key_that_needs_quotes_is_quoted_for_a_shell(tmp_path, place):
    """Whoever gives back what is advised means that place."""
    tensors = {"g_a.weight": torch.ones(2, 2), "g_s.weight": torch.ones(2)}
    content = {"net": tensors, place: {key: value + 1 for key, value in tensors.items()}}
    with pytest.raises(CheckpointError) as error:
        find_weights(content, tensors, tmp_path / "x.pt")
    with pytest.raises(ConfigError) as renamed, flags_named({"model.weights_key": "--weights-key"}):
        raise ConfigError([str(error.value)])
    advised = shlex.split(str(renamed.value).partition(" or ")[2])
    assert advised == [f"--weights-key={place}"]


def test_only_whole_keys_are_renamed():
    with pytest.raises(ConfigError) as error, flags_named({"data": "--data", "evaluation.data": "--data"}):
        raise ConfigError(["data.train: no images; evaluation.data=x, x/data.y and metadata stay; data: wrong"])
    assert str(error.value) == "data.train: no images; --data=x, x/data.y and metadata stay; --data: wrong"
