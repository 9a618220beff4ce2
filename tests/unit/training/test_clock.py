"""How fast the loop says that it is: as of late, without what comes before the first step or in between."""

import io
import itertools

import pytest
from rich.console import Console
from training_parts import objective, stage, trainer

from lic_exp.training import clock as clocks
from lic_exp.training import display
from lic_exp.training.clock import Clock
from lic_exp.training.display import Display


class Time:
    """A clock that stands still but where it is set on."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def time(monkeypatch):
    found = Time()
    monkeypatch.setattr(clocks.time, "perf_counter", found)
    monkeypatch.setattr(display.time, "monotonic", found)
    return found


def test_a_speed_is_of_the_steps_since_the_last(time):
    clock = Clock(10)
    time.now += 4
    assert clock.steps_per_s(12) == 0.5
    time.now += 1
    with clock.paused():
        time.now += 1000
    time.now += 1
    assert clock.steps_per_s(20) == 4.0

    def failing():
        with clock.paused():
            time.now += 50
            raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"):
        failing()
    time.now += 2
    assert clock.steps_per_s(21) == 0.5


@pytest.mark.parametrize(("log_every", "validate_every"), [(2, 3), (2, 4), (3, 12), (1, 1)])
def test_what_a_run_logs_is_the_speed_since_the_entry_before(tmp_path, time, monkeypatch, log_every, validate_every):
    """The first step takes 100 s, those to the sixth one second each, those after it ten; a validation takes 1000 s."""
    took = itertools.chain([100.0], [1.0] * 5, itertools.repeat(10.0))
    spent = []

    def should_stop():
        spent.append(next(took))
        time.now += spent[-1]

    of = objective()
    run = trainer(
        tmp_path,
        of,
        [stage(of, 12)],
        should_stop=should_stop,
        log_every_steps=log_every,
        validate_every_steps=validate_every,
        checkpoint_every_steps=12,
    )
    validate = run.validate

    def slow(codec):
        time.now += 1000
        return validate(codec)

    run.validate = slow
    run.fit()
    speeds = [entry["train/images_per_s"] for entry in run.reporter.entries if "train/images_per_s" in entry]
    each = [spent[first : first + log_every] for first in range(0, 12, log_every)]
    assert speeds == pytest.approx([2 * log_every / sum(seconds) for seconds in each])


def lines(console):
    return [line.split() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize("start", [5.0, 300.0])
def test_what_is_shown_leaves_out_the_start(time, start):
    """A step a second, then two: the speed is of the last five seconds, the time left by that of all but the start."""
    console = Console(file=io.StringIO(), width=200)
    with Display(100, {}, console) as shown:
        time.now += start
        shown.advance(1)
        for step in range(2, 101):
            time.now += 1.0 if step <= 51 else 0.5
            shown.advance(step)
    found = {line[1]: (line[2], line[-3]) for line in lines(console)}
    assert found["51/100"] == ("1.00", "49")
    assert found["71/100"] == ("2.00", "25")  # 60 s since the first step
    assert found["100/100"] == ("2.00", "0")


@pytest.mark.parametrize(
    ("hours", "step_s", "least", "most"),
    [(1 / 60, 0.5, 10, 13), (1 / 6, 0.5, 50, 70), (1, 2.0, 80, 110), (24, 5.0, 180, 260)],
)
def test_lines_come_at_a_pace_for_people(time, hours, step_s, least, most):
    console = Console(file=io.StringIO(), width=200)
    steps = round(hours * 3600 / step_s)
    with Display(steps, {}, console) as shown:
        for step in range(1, steps + 1):
            time.now += step_s
            shown.advance(step)
    found = lines(console)
    assert least <= len(found) <= most
    assert found[-1][1] == f"{steps}/{steps}"
    assert {line[2] for line in found} == {f"{1 / step_s:.2f}"}


def test_a_line_has_the_values_of_its_interval(time):
    """The mean of what was logged since the line before, of a validation the last; older values have their step."""
    console = Console(file=io.StringIO(), width=200)
    metrics = {"train/loss": ("loss", ".2f"), "val/rd_loss": ("val rd_loss", ".1f")}
    with Display(40, metrics, console, lasting=["val/rd_loss"]) as shown:
        for step in range(1, 41):
            time.now += 1.0
            if step <= 10 or step == 40:
                shown.log({"train/loss": float(step)}, step)
            if step in (4, 5):
                shown.log({"val/rd_loss": float(step)}, step)
            shown.advance(step)
    found = [" ".join(line[4:-3]) for line in lines(console)]
    assert found[:3] == [
        "loss 3.00 val rd_loss 5.0",
        "loss 8.00 val rd_loss 5.0 (step 5)",
        "loss 10.00 (step 10) val rd_loss 5.0 (step 5)",
    ]
    assert found[-1] == "loss 40.00 val rd_loss 5.0 (step 5)"


def test_a_run_of_one_step_has_only_its_start_to_tell(time):
    console = Console(file=io.StringIO(), width=200)
    with Display(1, {}, console) as shown:
        time.now += 4
        shown.advance(1)
    assert lines(console) == [["step", "1/1", "0.25", "steps/s", "0", "s", "left"]]


def test_steps_that_take_longer_than_what_counts_as_late_are_shown_one_by_one(time):
    console = Console(file=io.StringIO(), width=200)
    with Display(4, {}, console) as shown:
        for step, seconds in enumerate((90, 10, 20, 40), start=1):
            time.now += seconds
            shown.advance(step)
    assert [line[2] for line in lines(console)] == ["0.01", "0.10", "0.05", "0.03"]
    assert [line[-3] for line in lines(console)] == ["270", "20", "15", "0"]
