"""What is recorded of the images of a run: what they are called, which they are, and how many."""

import pytest
from PIL import Image

from lic_exp.config.loading import load_config
from lic_exp.config.signing import data_fingerprint
from lic_exp.records import read_record
from lic_exp.runs.images_record import images_record
from lic_exp.runs.provenance import record_environment
from lic_exp.tracking.kinds import Environment
from lic_exp.tracking.run_folder import RunFolder


@pytest.mark.parametrize(
    ("overrides", "name", "train", "val"),
    [
        (["data=synthetic", "data.train_images=3", "data.val_images=2"], "synthetic", 3, 2),
        (["data=bundled"], "bundled", 6, 2),
        (["data=folder", "data.train=[{0}/my photos]", "data.val=[{0}/val]"], "my photos", 2, 1),
        (["data=folder", "data.train=[{0}/my photos,{0}/more]", "data.val=[{0}/val]"], "my photos, more", 3, 1),
    ],
)
def test_the_images_of_a_run_are_recorded_with_what_they_are(tmp_path, overrides, name, train, val):
    for place, count in (("my photos", 2), ("more", 1), ("val", 1)):
        (tmp_path / place).mkdir()
        for i in range(count):
            Image.new("RGB", (8, 8), (i, len(place), 0)).save(tmp_path / place / f"{i}.png")
    config = load_config([override.format(tmp_path) for override in overrides])
    found = images_record(config)["data"]
    assert found == {"name": name, "fingerprint": data_fingerprint(config.data), "train": train, "val": val}
    run = RunFolder(tmp_path / "run")
    run.create()
    record_environment(run, [], images=images_record(config))
    assert read_record(run.environment, Environment)["images"] == {"data": found}


def test_stages_with_images_of_their_own_have_an_entry_each():
    stages = "stages=[{steps: 2, data: {train_images: 5}}, {steps: 2}]"
    config = load_config(["data=synthetic", "data.train_images=3", stages, "trainer.max_steps=null"])
    found = images_record(config)
    assert {key: facts["train"] for key, facts in found.items()} == {
        "data": 3,
        "stages[0].data": 5,
        "stages[1].data": 3,
    }
    assert found["data"] == found["stages[1].data"] != found["stages[0].data"]
