"""Which images are evaluated names the evaluation and never the training."""

from pathlib import Path

import pytest

from lic_exp.ablation_spec import experiments, read_table
from lic_exp.config import signing
from lic_exp.config.compose import compose
from lic_exp.config.errors import ConfigError
from lic_exp.config.evaluated import separate_images
from lic_exp.config.loading import load_config
from lic_exp.config.schema import RunConfig
from lic_exp.config.signing import evaluation_name, separate_fingerprint, separate_key
from lic_exp.config.validation import validate
from lic_exp.data.sources import Bundled, BundledThreeWay
from lic_exp.sweeps.trainings import trainings

TWO, THREE = "data=bundled", "data=bundled_three_way"
TABLES = sorted(path.stem for path in experiments().glob("*.yaml") if read_table(path))


def config_of(*overrides: str) -> RunConfig:
    return load_config(["trainer.device=cpu", *overrides])


@pytest.mark.parametrize("given", [(), ("model=hyperprior_tiny",), ("data.val_crop_size=128",)])
def test_one_training_has_two_evaluations(given: tuple[str, ...]) -> None:
    two, three = config_of(TWO, *given), config_of(THREE, *given)
    assert two.signature == three.signature
    assert evaluation_name(two) != evaluation_name(three)


def test_evaluations_of_before_keep_their_names(photos: Path) -> None:
    """Of validation images: what was evaluated before there were others is found."""
    assert evaluation_name(config_of(TWO)) == "36b0b6ee"
    folder = f"evaluation.data='{photos}/val'"
    assert evaluation_name(config_of(TWO, folder)) == evaluation_name(config_of(THREE, folder))


def test_a_folder_comes_before_the_photos_that_are_held_out(photos: Path) -> None:
    def names(*overrides: str) -> list[str]:
        return [image.name for image in separate_images(config_of(*overrides))]

    assert names(TWO) == []
    assert names(THREE) == [image.name for image in BundledThreeWay().test()]
    folder = f"evaluation.data='{photos}/val'"
    assert names(THREE, folder) == sorted(path.name for path in (photos / "val").iterdir())
    assert [separate_key(config_of(*given)) for given in ((THREE,), (THREE, folder))] == ["data", "evaluation.data"]
    assert separate_fingerprint(config_of(TWO)) is None


def test_other_photos_make_another_evaluation_of_the_same_training(monkeypatch: pytest.MonkeyPatch) -> None:
    before = config_of(THREE)
    names = before.signature, evaluation_name(before)
    monkeypatch.setattr(BundledThreeWay, "TEST", BundledThreeWay.TEST[:-1])
    after = config_of(THREE)
    assert after.signature == names[0]
    assert evaluation_name(after) != names[1]


def test_what_an_evaluation_was_named_by_is_known_for_when_it_changes() -> None:
    three = config_of(THREE)
    assert signing.images_of[evaluation_name(three)] == {"data": BundledThreeWay().test_fingerprint()}
    assert signing.images_of[evaluation_name(config_of(TWO))] == {}


@pytest.mark.parametrize("name", TABLES)
def test_tables_at_mini_scale_evaluate_what_they_do_not_validate_on(name: str) -> None:
    """And bear the names that they had when they did."""
    table = read_table(experiments() / f"{name}.yaml")
    assert table is not None
    given = [f"experiment={name}", "scale=mini", f"variant={table.baseline}"]
    lines = (trainings([*given, *more], several=False) for more in ((), (TWO,)))
    held, before = (validate(compose(line.overrides)) for (line,) in lines)
    assert [image.name for image in separate_images(held)] == [image.name for image in BundledThreeWay().test()]
    assert held.signature == before.signature
    assert set(separate_images(held)).isdisjoint(Bundled().val())


def test_photos_held_out_that_have_no_fingerprint_are_an_error_of_the_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(BundledThreeWay, "test_fingerprint")
    with pytest.raises(ConfigError, match="data: BundledThreeWay has a method test and no test_fingerprint"):
        evaluation_name(config_of(THREE))
