"""Whether an image that a run is evaluated on is one that it was trained on."""

from types import SimpleNamespace

import pytest

from lic_exp.config.loading import load_config
from lic_exp.runs import evaluate
from lic_exp.tracking.tables import TRAINS

STAGE = "{steps: 2, data: {preflight: %s}}"


@pytest.mark.parametrize(
    ("of_all", "of_stages", "looked"),
    [
        ("fail", ["fail", "fail"], False),
        ("fail", ["skip", "fail"], False),
        ("fail", ["fail", "off"], True),
        ("skip", ["off", "fail"], True),
        ("off", ["fail", "fail"], True),
        ("fail", [], False),
        ("off", [], True),
    ],
)
def test_images_of_stages_that_nobody_looked_at_are_looked_at(of_all, of_stages, looked, monkeypatch):
    stages = ",".join(STAGE % preflight for preflight in of_stages)
    limit = ["trainer.max_steps=null", f"stages=[{stages}]"] if stages else []
    config = load_config(["tracker=none", f"data.preflight={of_all}", *limit])
    compared = []

    def which(images, train, *_):
        compared.append(len(train))
        return [True] * len(images)

    monkeypatch.setattr(evaluate, "_training_images", lambda stage, run: ["photo"])
    monkeypatch.setattr(evaluate, "which_are_among", which)
    monkeypatch.setattr(evaluate, "cache_for", lambda runs: None)
    images = type("Images", (), {"sources": ["one", "two"], "__len__": lambda self: 2})()
    run = SimpleNamespace(folder=SimpleNamespace(parent=None))
    assert evaluate._trains(config, None, images, run) == [{TRAINS: looked}] * 2
    assert compared == [1] * looked
