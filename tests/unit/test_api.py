import numpy as np
import pandas as pd
import pytest
import torch
import toy

import lic_exp
from lic_exp.config.errors import ConfigError
from lic_exp.runs.export import export_run
from lic_exp.runs.run import Run, find_run


def test_the_lists_name_what_the_command_line_accepts():
    assert {"hyperprior", "factorized_tiny"} <= set(lic_exp.list_models())
    assert lic_exp.list_regularizers() == sorted(lic_exp.list_regularizers())
    assert {"none", "intra"} <= set(lic_exp.list_regularizers())


def test_dir_and_attributes():
    assert {"create_model", "run", "__version__"} <= set(dir(lic_exp))
    with pytest.raises(AttributeError, match=r"no attribute 'nosuch'; it has complexity, create_model, "):
        _ = lic_exp.nosuch


def test_a_model_by_name_with_options():
    codec = lic_exp.create_model("hyperprior", N=8, M=12)
    assert codec.g_a[0].out_channels == 8
    assert codec.g_a[-1].out_channels == 12
    assert codec.training


def test_the_seed_decides_the_weights():
    first, same, other = (lic_exp.create_model("factorized_tiny", seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert not torch.equal(first["g_a.0.weight"], other["g_a.0.weight"])


def test_weights_are_loaded(tmp_path):
    trained = lic_exp.create_model("factorized_tiny", seed=5)
    torch.save(trained.state_dict(), tmp_path / "weights.pt")
    loaded = lic_exp.create_model("factorized_tiny", weights=str(tmp_path / "weights.pt"))
    assert torch.equal(loaded.g_a[0].weight, trained.g_a[0].weight)


def test_a_regularizer_by_name_with_options():
    regularizer = lic_exp.create_regularizer("intra", tau_init=0.3, truncation_length=50)
    assert regularizer.truncation.tau_init == 0.3
    assert regularizer.truncation.window.length == 50
    assert lic_exp.create_regularizer("none") is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: lic_exp.create_model("hyperprio"), "Did you mean hyperprior?"),
        (lambda: lic_exp.create_model("hyperprior", n=8), "model.n: there is no such key. Did you mean model.N?"),
        (lambda: lic_exp.create_model("hyperprior", N=0), "model.N=0: should be greater than or equal to 1"),
        (lambda: lic_exp.create_model("hyperprior", N="8"), "model.N=8: should be a whole number"),
        (lambda: lic_exp.create_regularizer("intra", tau_init=2), "spectral_reg.tau_init=2: should be less than"),
        (lambda: lic_exp.create_regularizer("intra", truncation_length=0.5), "truncation_length=0.5"),
        (lambda: lic_exp.run(["seed=1,2"]), "describe several runs"),
        (lambda: lic_exp.run(["optimizer.lrr=1"]), "Did you mean optimizer.lr?"),
    ],
)
def test_the_command_lines_errors(make, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as error:
        make()
    assert message in error.value.messages[0]
    assert not list(tmp_path.iterdir())


def test_one_parts_options_need_not_suit_the_default_run():
    """The default crop is no multiple of 1 << 8; nobody trains here."""
    assert lic_exp.create_regularizer("intra", truncation_length=1e6).truncation.window.length == 1e6


@pytest.mark.usefixtures("toy_folder")
def test_a_plugins_parts():
    codec = lic_exp.create_model("toy_pyramid", plugins=[toy.NAME], channels=3)
    assert len(codec(torch.rand(1, 3, 16, 8)).latents) == 2
    assert type(codec).__module__ == f"{toy.NAME}.pyramid"
    assert lic_exp.create_regularizer("toy_pair", plugins=[toy.NAME], delta=0.5).delta == 0.5
    assert "toy" in lic_exp.list_models(plugins=[toy.NAME])
    with pytest.raises(ConfigError, match="model has no option 'toy'"):
        lic_exp.create_model("toy")


def test_a_run_is_read_from_its_folder(small_run):
    run = Run(small_run)
    assert run.signature == small_run.name
    assert run.status["state"] == "done"
    assert run.config.model.options["N"] == 32
    assert isinstance(run.metrics, pd.DataFrame)
    assert list(run.metrics["step"].unique()) == [1, 2, 3, 4]
    assert len(run.evaluation) == 2
    assert repr(run) == f"Run({str(small_run)!r}, state='done')"


def test_a_run_that_is_not_there_is_empty_not_an_error(tmp_path):
    run = Run(tmp_path)
    assert run.status == {}
    assert run.metrics.empty
    assert run.evaluation.empty
    assert "missing" in repr(run)


def test_a_run_is_found_by_folder_signature_or_its_beginning(small_run):
    runs = str(small_run.parent)
    for name in (str(small_run), small_run.name, small_run.name[:5]):
        assert find_run(name, runs).folder == small_run


def test_what_find_run_cannot_find(tmp_path):
    with pytest.raises(ConfigError, match=r"there is no run abc in .* It has none"):
        find_run("abc", str(tmp_path))
    for name in ("abc1", "abc2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").touch()
    with pytest.raises(ConfigError, match="abc could be any of abc1, abc2"):
        find_run("abc", str(tmp_path))
    with pytest.raises(ConfigError, match=r"no run x in .* It has: abc1, abc2"):
        find_run("x", str(tmp_path))


def test_the_codec_of_a_run(small_run):
    """Its best weights, as they are evaluated; a file of it is decoded by the same weights from a plain file."""
    run = lic_exp.find_run(str(small_run))
    codec = run.codec()
    assert not codec.training
    best = torch.load(small_run / "checkpoints" / "best.pt", weights_only=True)["codec"]
    assert all(torch.equal(codec.state_dict()[key], best[key]) for key in ("g_a.0.weight", "g_s.6.weight"))
    image = (np.arange(40 * 50 * 3) % 251).astype(np.uint8).reshape(40, 50, 3)
    data = lic_exp.encode_image(image, codec)
    export_run(run, small_run.parent / "weights.pth", last=False)
    loaded = lic_exp.create_model("hyperprior_tiny", weights=str(small_run.parent / "weights.pth"))
    pictures = [lic_exp.decode_image(data, each, form="array") for each in (loaded, codec)]
    assert np.array_equal(*pictures)


def test_a_run_without_weights_has_no_codec(make_run):
    folder = make_run("0123456789abcdef", "created")
    with pytest.raises(ConfigError, match=r"best\.pt.*run 0123456789abcdef is created"):
        lic_exp.find_run(str(folder)).codec()
