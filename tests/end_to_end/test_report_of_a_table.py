"""A shortened table, trained, and its report as Chromium shows it."""

import json

import pytest
from browser import browser, needs_browser
from commands import finish, launch, start

SHORTENED = (
    "experiment=tau_init",
    "scale=mini",
    "variant=naive,tau_005",
    "table.seeds=[0]",
    "table.aa_seeds=[]",
    "seed=0",
    "trainer.max_epochs=5",
    "trainer.threads=1",
    "trainer.try_step=false",
    "trainer.log_every_steps=1",
    "trainer.validate_every_steps=2",
    "scheduler.warmup_steps=0",
    "criterion.validation_rates=2",
    "data=synthetic",
    "data.crop_size=64",
    "data.val_crop_size=64",
    "data.val_limit=1",
    "evaluation.limit=1",
    "tracker=none",
)


@needs_browser
@pytest.mark.slow
def test_the_report_of_a_shortened_table_is_seen(tmp_path):
    done = launch("-m", *SHORTENED, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    made = finish(start("-m", "analysis", "report", "tau_init", "--out", "report.html", folder=tmp_path))
    assert made.returncode == 0, made.stderr
    page = (tmp_path / "report.html").as_uri()
    runs = {path.parent.name for path in (tmp_path / "runs").glob("*/status.json")}
    with browser() as shown:
        for width in (400, 1600):
            shown.open(page, width=width)
            assert shown.value("document.scrollingElement.scrollWidth") <= width
            for sign in ("table", "svg", "img"):
                boxes = json.loads(
                    shown.value(
                        f"JSON.stringify([...document.querySelectorAll('section {sign}')].map(one => "
                        "[one.getBoundingClientRect().width, one.getBoundingClientRect().height]))"
                    )
                )
                assert len(boxes) >= 2
                assert min(map(min, boxes)) > 20
        said = shown.value("document.body.innerText")
        assert "Initial cut-off of the intra-scale stage" in said
        assert "tau from 0.05" in said
        assert "python launch.py -m experiment=tau_init scale=mini" in said
        assert all(signature in said for signature in runs)
        assert len(runs) == 2
        assert set(shown.asked) == {page}
        assert shown.complaints == []
