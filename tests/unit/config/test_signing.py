import shutil
from pathlib import Path

import pytest
import toy
from PIL import Image

from lic_exp.config.compose import compose
from lic_exp.config.contents import file_hash
from lic_exp.config.errors import ConfigError
from lic_exp.config.overrides import parse
from lic_exp.config.schema import RunConfig, TrainerConfig
from lic_exp.config.signing import evaluation_name, signed_part
from lic_exp.config.stored import stored_config
from lic_exp.config.validation import validate
from lic_exp.option_types import Neutral

# Said in full, so that another default is no failure here.
BASE = (
    "data=synthetic",
    "model=mean_scale_hyperprior_tiny",
    "spectral_reg=none",
    "optimizer=adam",
    "scheduler=constant",
)


def config_of(*overrides):
    return validate(compose(parse([*BASE, *overrides])))


def sign(*overrides):
    return config_of(*overrides).signature


@pytest.fixture(scope="module")
def base():
    return sign()


@pytest.fixture
def folder(photos, tmp_path):
    """A copy of the photos, for tests that change them."""
    return Path(shutil.copytree(photos, tmp_path / "here"))


def sign_folder(folder):
    return sign("data=folder", f"data.train=['{folder}/train']", f"data.val=['{folder}/val']")


def test_a_signature_is_a_short_name_for_a_folder(base):
    assert len(base) == 16
    assert set(base) <= set("0123456789abcdef")


@pytest.mark.parametrize(
    "override",
    [
        "data.num_workers=3",
        "data.cache_mb=1",
        "data.store_mb=77",
        "model.portable=true",
        "paths.runs=/elsewhere",
        "trainer.log_every_steps=3",
        "trainer.checkpoint_every_steps=7",
        "evaluation.pictures=0",
        "evaluation.enabled=false",
        "evaluation.limit=1",
        "variant=row",
        "trainer.try_step=false",
        "trainer.resume=must",
        "trainer.resume_elsewhere=true",
        "trainer.profile=true",
        "tracker=none",
        "tracker.mlflow.uri=sqlite:///other.db",
        "tracker=[mlflow]",
        "name=label",
        "tags=[pilot]",
    ],
)
def test_unchanged_by_what_cannot_change_a_result(base, override):
    assert sign(override) == base


@pytest.mark.parametrize("key", ["data.crop_size", "trainer.max_steps", "optimizer.lr"])
def test_unchanged_by_restating_a_value(base, key):
    group, name = key.split(".")
    assert sign(f"{key}={config_of().plain()[group][name]}") == base


@pytest.mark.parametrize(
    "override",
    [
        "seed=1",
        "optimizer.lr=3e-4",
        "optimizer=adamw",
        "scheduler=cosine",
        "model=hyperprior_tiny",
        "model.N=48",
        "spectral_reg=intra",
        "criterion.lmbda=0.025",
        "data.batch_size=5",
        "data.crop_size=192",
        "data.flip=false",
        "data.image_seed=1",
        "trainer.max_steps=7",
        "trainer.threads=2",
        "trainer.device=cpu",
        "trainer.clip_max_norm=null",
        "trainer.validate_every_steps=51",
    ],
)
def test_changed_by_what_can(base, override):
    assert sign(override) != base


def test_no_two_changes_collide():
    changes = ["seed=1", "optimizer.lr=3e-4", "optimizer.eps=3e-4", "optimizer.aux_lr=3e-4", "data.batch_size=1"]
    assert len({sign(change) for change in changes}) == len(changes)


def test_two_ways_to_write_a_number_are_one_run():
    assert sign("trainer.max_steps=1e5") == sign("trainer.max_steps=100000")
    assert sign("optimizer.lr=1e-3") == sign("optimizer.lr=0.001")
    assert sign("trainer.clip_max_norm=2") == sign("trainer.clip_max_norm=2.0")


def test_the_order_of_overrides_is_irrelevant():
    overrides = ["model=hyperprior_tiny", "optimizer.lr=3e-4", "spectral_reg=intra", "spectral_reg.tau_init=0.1"]
    assert sign(*overrides) == sign(*reversed(overrides))


def test_the_same_config_by_another_name_is_the_same_run():
    """An option file is a set of values: how it is called is no part of them."""
    assert sign("model=hyperprior_tiny") == sign("model=hyperprior", "model.N=32", "model.M=48")


def test_data_may_move(folder, tmp_path):
    before = sign_folder(folder)
    folder.rename(tmp_path / "there")
    assert sign_folder(tmp_path / "there") == before


def test_data_may_not_change(folder):
    before = sign_folder(folder)
    photo = folder / "train" / "a.png"
    with Image.open(photo) as image:
        pixels = image.copy()
    pixels.putpixel((40, 40), (1, 2, 3))
    pixels.save(photo)
    changed = sign_folder(folder)
    assert changed != before
    photo.unlink()
    assert sign_folder(folder) not in {before, changed}


def test_evaluation_photos_name_the_evaluation_wherever_they_lie(folder, tmp_path, base):
    own, chosen = config_of(), config_of(f"evaluation.data='{folder}/val'")
    assert chosen.signature == base
    assert evaluation_name(chosen) != evaluation_name(own)
    before = evaluation_name(chosen)
    folder.rename(tmp_path / "there")
    chosen = config_of(f"evaluation.data='{tmp_path}/there/val'")
    assert evaluation_name(chosen) == before
    (tmp_path / "there" / "val" / "c.png").unlink()
    assert evaluation_name(config_of(f"evaluation.data='{tmp_path}/there/val'")) != before


def test_an_evaluation_is_named_by_what_it_measures():
    names = {evaluation_name(config_of(*given)) for given in ([], ["evaluation.limit=1"], ["evaluation.limit=2"])}
    assert len(names) == 3
    assert {len(name) for name in names} == {8}
    assert evaluation_name(config_of("evaluation.pictures=0", "seed=3")) == evaluation_name(config_of())


def test_weights_count_by_content(tmp_path, base):
    first, copy = tmp_path / "first.pt", tmp_path / "copy.pt"
    first.write_bytes(b"weights")
    copy.write_bytes(b"weights")
    signed = sign(f"model.weights={first}")
    assert signed != base
    assert sign(f"model.weights={copy}") == signed
    first.write_bytes(b"others")
    assert sign(f"model.weights={first}") != signed


def test_a_path_that_no_file_can_have_is_an_error_of_the_config():
    with pytest.raises(ConfigError, match=r"model\.weights=.*null"):
        file_hash("a\0b", "model.weights")


def test_where_in_a_file_weights_lie_counts_only_where_it_is_said(tmp_path, base):
    (tmp_path / "w.pt").write_bytes(b"weights")
    weights = f"model.weights={tmp_path}/w.pt"
    names = {sign(weights), sign(weights, "model.weights_key=model"), sign(weights, "model.weights_key=ema")}
    assert len(names) == 3
    assert sign(weights, "model.weights_key=null") in names


def test_a_config_that_is_older_than_a_key_is_named_as_before(base):
    plain = config_of().plain()
    del plain["model"]["weights_key"]
    assert validate(plain).signature == stored_config(plain).signature == base


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.weights=/no/such.pt", "model.weights=/no/such.pt: No such file or directory"),
        ("model.weights=/dev/zero", "model.weights=/dev/zero is a device; name a file"),
        ("model.weights=/", "model.weights=/ is a folder; name a file in it"),
        ("data=folder data.train=[/no/such] data.val=[/no/such]", "data: /no/such does not exist"),
        ("data=folder data.train=[] data.val=[/no/such]", "data: data.train is empty"),
    ],
)
def test_what_cannot_be_read_is_an_error_of_the_config(override, message):
    with pytest.raises(ConfigError) as error:
        sign(*override.split())
    assert error.value.messages[0].startswith(message)


def test_what_cannot_be_evaluated_is_an_error_of_the_config():
    with pytest.raises(ConfigError, match=r"evaluation\.data: /no/such does not exist"):
        evaluation_name(config_of("evaluation.data=/no/such"))


@pytest.mark.usefixtures("toy_folder")
class TestMarks:
    PLUGIN = (f"plugins=[{toy.NAME}]", "model=toy")

    def options(self, *overrides):
        return signed_part(config_of(*self.PLUGIN, *overrides))["model"]["component"]["options"]

    def test_a_components_newer_option_is_left_out_at_its_neutral_value(self):
        assert "newer" not in self.options("model.newer=0")
        assert self.options("model.newer=1")["newer"] == 1

    def test_a_components_unsigned_option_is_left_out(self):
        assert sign(*self.PLUGIN, "model.verbose=true") == sign(*self.PLUGIN)
        assert sign(*self.PLUGIN, "model.channels=7") != sign(*self.PLUGIN)

    def test_qualities_tell_evaluations_apart(self):
        ranging = (*self.PLUGIN, "model=toy_scalable", "criterion=variable_rate")
        all_rates, two = config_of(*ranging), config_of(*ranging, "evaluation.qualities=[0,63]")
        assert two.signature == all_rates.signature
        assert evaluation_name(two) != evaluation_name(all_rates)
        assert evaluation_name(two) == evaluation_name(config_of(*ranging, "evaluation.qualities=[6.3e1,0.0]"))

    def test_a_groups_newer_key_is_left_out_at_its_neutral_value(self, monkeypatch):
        monkeypatch.setattr(TrainerConfig.model_fields["threads"], "metadata", [Neutral(None)])
        assert "threads" not in signed_part(config_of())["trainer"]
        assert signed_part(config_of("trainer.threads=2"))["trainer"]["threads"] == 2

    def test_a_newer_key_at_the_top_is_left_out_at_its_neutral_value(self, monkeypatch):
        monkeypatch.setattr(RunConfig.model_fields["seed"], "metadata", [Neutral(0)])
        assert "seed" not in signed_part(config_of())
        assert signed_part(config_of("seed=1"))["seed"] == 1

    def test_a_newer_group_is_left_out_at_its_neutral_value(self, monkeypatch):
        monkeypatch.setattr(RunConfig.model_fields["spectral_reg"], "metadata", [Neutral({"_target_": None})])
        assert "spectral_reg" not in signed_part(config_of())
        assert "spectral_reg" in signed_part(config_of("spectral_reg=intra"))
