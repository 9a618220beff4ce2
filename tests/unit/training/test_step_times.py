"""Where a training's time goes, by a clock that stands still but where it is set on."""

import random

import pytest

from lic_exp.sections import BACKWARD, DATA, FORWARD, OPTIMIZER, OTHER, REPLAY, TRANSFER, Section, heard_by
from lic_exp.training.step_times import StepTimes


class World:
    """A host's clock, and a device that is done with its events when it is let be. marks: those that there are."""

    def __init__(self):
        self.now, self.done, self.marks = 100.0, 0.0, []

    def clock(self):
        return self.now

    def mark(self):
        self.marks.append(Mark(self, self.now + 7))  # the device is behind
        return self.marks[-1]


class Mark:
    def __init__(self, world, at):
        self.world, self.at = world, at

    def query(self):
        return self.world.done >= self.at

    def synchronize(self):
        self.world.done = max(self.world.done, self.at)

    def elapsed_time(self, other):
        assert self.query()
        assert other.query()
        return 1e3 * (other.at - self.at)


@pytest.fixture
def world():
    return World()


def spend(world, name, seconds, *inside):
    with Section(name):
        world.now += seconds
        for section in inside:
            spend(world, *section)
        world.now += seconds


def test_what_lies_inside_is_not_counted_outside(world):
    times = StepTimes(world.clock)
    times.switch(True)
    with heard_by(times):
        world.now += 0.5
        spend(world, DATA, 1, (TRANSFER, 2), (TRANSFER, 4))
        spend(world, OPTIMIZER, 1, (FORWARD, 10), (BACKWARD, 20))
    times.switch(False)
    assert times.host == {OTHER: 0.5, DATA: 2, TRANSFER: 12, OPTIMIZER: 2, FORWARD: 20, BACKWARD: 40}
    assert times.begun == {DATA: 1, TRANSFER: 2, OPTIMIZER: 1, FORWARD: 1, BACKWARD: 1}
    assert times.device == {}


@pytest.mark.parametrize("seed", range(5))
def test_the_parts_add_up_to_the_time_that_was_on(world, seed):
    """Of any nest of sections, on the host and on a device that lags behind."""
    draw, names = random.Random(seed), (DATA, TRANSFER, FORWARD, BACKWARD, REPLAY)

    def some(depth):
        return [(draw.choice(names), draw.randrange(1, 64) / 64, *some(depth + 1)) for _ in range(3 - depth)]

    times, on = StepTimes(world.clock, world.mark), 0.0
    with heard_by(times):
        for number in range(6):
            begun = world.now
            for section in some(0):
                spend(world, *section)
            world.now += 0.25
            times.switch(number % 2 == 0)
            on += 0.0 if number % 2 == 0 else world.now - begun
    times.take_in(all_of_it=True)
    assert sum(times.host.values()) == pytest.approx(on, rel=1e-12)
    assert sum(times.device.values()) == pytest.approx(on, rel=1e-12)


def test_nothing_is_cut_out_of_a_step_that_is_replayed(world):
    """Nor is an event put where it would be recorded."""
    times = StepTimes(world.clock, world.mark)
    times.switch(True)
    with heard_by(times):
        spend(world, OPTIMIZER, 1, (REPLAY, 2, (FORWARD, 4), (BACKWARD, 8, (REPLAY, 16))))
        spend(world, FORWARD, 32)
    times.switch(False)
    times.take_in(all_of_it=True)
    assert times.host == times.device == {OPTIMIZER: 2, REPLAY: 4 + 8 + 16 + 32, FORWARD: 64, OTHER: 0}
    assert len(world.marks) == 8


def test_nobody_waits_for_a_device_that_is_not_done(world):
    times = StepTimes(world.clock, world.mark)
    times.switch(True)
    with heard_by(times):
        spend(world, FORWARD, 1)
        spend(world, BACKWARD, 2)
    times.take_in()
    assert times.device == {}
    world.done = 109.0  # the forward pass is, the backward pass is not
    times.take_in()
    assert times.device == {OTHER: 0, FORWARD: 2}
    times.switch(False)
    times.take_in(all_of_it=True)
    assert times.device == times.host == {OTHER: 0, FORWARD: 2, BACKWARD: 4}


@pytest.mark.parametrize("fails", [FORWARD, REPLAY])
def test_a_section_that_fails_ends_all_the_same(world, fails):
    times = StepTimes(world.clock)
    times.switch(True)

    def failing():
        with Section(OPTIMIZER), Section(fails), Section(BACKWARD):
            world.now += 1
            raise KeyError("broken")

    with heard_by(times):
        with pytest.raises(KeyError):
            failing()
        world.now += 2
        spend(world, DATA, 4)
    times.switch(False)
    assert times.host[BACKWARD if fails == FORWARD else REPLAY] == 1
    assert (times.host[OTHER], times.host[DATA]) == (2, 8)
