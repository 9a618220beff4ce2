import copy
from collections.abc import Callable, Iterator

import pytest
import torch
from torch.optim import lr_scheduler

from lic_exp.optimizers.schedules import Constant, Cosine, MultiStep, Plateau, Schedule
from lic_exp.progress import Progress

STEPS, STEPS_PER_EPOCH = 40, 4
LR, REG_LR = 0.3, 0.05
RD_LOSSES = [5.0, 4.0, 3.0, 3.0, 3.1, 3.2, 2.99999, 2.0, 2.1, 2.2, 2.3, 2.4, 2.5, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6]
"""Falls, stalls, improves by less than the threshold, falls again, then rises for long enough to reach min_lr."""


def two_groups() -> torch.optim.Optimizer:
    parameters = [torch.nn.Parameter(torch.ones(1)) for _ in range(2)]
    return torch.optim.SGD([{"params": parameters[0]}, {"params": parameters[1], "lr": REG_LR}], lr=LR)


def progress_of(step: int) -> Progress:
    return Progress(step=step, epoch=step // STEPS_PER_EPOCH, share=step / STEPS)


def train(schedule: Schedule, first: int = 0, last: int = STEPS) -> Iterator[tuple[float, ...]]:
    """The groups' rates of every step, with a validation after every second step."""
    for step in range(first, last):
        schedule.before_step(progress_of(step))
        yield tuple(group["lr"] for group in schedule.optimizer.param_groups)
        if step % 2:
            schedule.after_validation(RD_LOSSES[step // 2])


def assert_same(rates: list[tuple[float, ...]], reference: list[tuple[float, ...]]) -> None:
    assert len(rates) == len(reference)
    for step, (ours, theirs) in enumerate(zip(rates, reference, strict=True)):
        assert ours == pytest.approx(theirs, rel=1e-9), f"step {step}"


def torch_rates(scheduler_of: Callable[[torch.optim.Optimizer], lr_scheduler.LRScheduler]) -> list[tuple[float, ...]]:
    optimizer = two_groups()
    scheduler = scheduler_of(optimizer)
    rates = []
    for _ in range(STEPS):
        rates.append(tuple(group["lr"] for group in optimizer.param_groups))
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize(
    ("milestones", "unit"), [([12, 20, 36], "step"), ([3, 5, 9], "epoch"), ([0.3, 0.5, 0.9], "share")]
)
def test_multistep_is_torch_s_in_every_unit(milestones: list[float], unit: str) -> None:
    schedule = MultiStep(two_groups(), milestones=milestones, gamma=0.3, unit=unit, warmup_steps=0)  # type: ignore[arg-type]
    reference = torch_rates(lambda o: lr_scheduler.MultiStepLR(o, milestones=[12, 20, 36], gamma=0.3))
    assert_same(list(train(schedule)), reference)


def test_milestones_with_factors_of_their_own():
    """HPCM's rates: 1e-4, 3e-5, 1e-5, 1e-6."""
    schedule = MultiStep(two_groups(), milestones=[2, 4, 5], gamma=[0.3, 1 / 3, 0.1], unit="step", warmup_steps=0)
    found = [schedule.scheduled(1e-4, Progress(step=step, epoch=0, share=0.0)) for step in range(6)]
    assert found == pytest.approx([1e-4, 1e-4, 3e-5, 3e-5, 1e-5, 1e-6])
    with pytest.raises(ValueError, match=r"gamma is \[0\.3\] for 2 milestones"):
        MultiStep(two_groups(), milestones=[2, 4], gamma=[0.3], unit="step", warmup_steps=0)


def test_cosine_is_torch_s() -> None:
    ours = list(train(Cosine(two_groups(), final_factor=0.0, warmup_steps=0)))
    assert_same(ours, torch_rates(lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=STEPS)))


def test_cosine_ends_at_its_final_factor() -> None:
    schedule = Cosine(two_groups(), final_factor=0.2, warmup_steps=0)
    schedule.before_step(Progress(step=STEPS, epoch=1, share=1.0))
    assert [g["lr"] for g in schedule.optimizer.param_groups] == pytest.approx([0.2 * LR, 0.2 * REG_LR])


@pytest.mark.parametrize("patience", [0, 1, 3])
def test_plateau_is_torch_s(patience: int) -> None:
    options = {"factor": 0.3, "patience": patience, "threshold": 1e-4, "min_lr": 0.01}
    optimizer = two_groups()
    torch_schedule = lr_scheduler.ReduceLROnPlateau(optimizer, mode="min", eps=0.0, **options)
    reference = []
    for step in range(STEPS):
        reference.append(tuple(group["lr"] for group in optimizer.param_groups))
        if step % 2:
            torch_schedule.step(RD_LOSSES[step // 2])
    assert reference[-1][0] < LR
    assert_same(list(train(Plateau(two_groups(), warmup_steps=0, **options))), reference)  # type: ignore[arg-type]


def test_plateau_counts_a_loss_that_is_no_number_as_no_better() -> None:
    schedule = Plateau(two_groups(), factor=0.5, patience=0, threshold=0.0, min_lr=0.0, warmup_steps=0)
    schedule.after_validation(1.0)
    schedule.after_validation(float("nan"))
    schedule.before_step(progress_of(2))
    assert schedule.optimizer.param_groups[0]["lr"] == LR / 2


def test_a_rate_below_min_lr_is_not_raised_to_it() -> None:
    schedule = Plateau(two_groups(), factor=0.5, patience=0, threshold=0.0, min_lr=0.1, warmup_steps=0)
    rates = list(train(schedule))
    assert {rate for _, rate in rates} == {REG_LR}
    assert rates[-1][0] == 0.1


def test_warmup_is_linear_and_then_gone() -> None:
    rates = [rate for rate, _ in train(Constant(two_groups(), warmup_steps=5))]
    assert rates[:5] == pytest.approx([LR / 5, 2 * LR / 5, 3 * LR / 5, 4 * LR / 5, LR])
    assert set(rates[4:]) == {LR}


def test_no_warmup_is_the_configured_rate_from_the_first_step() -> None:
    assert set(train(Constant(two_groups(), warmup_steps=0))) == {(LR, REG_LR)}


BUILDERS: dict[str, Callable[[torch.optim.Optimizer], Schedule]] = {
    "constant": lambda o: Constant(o, warmup_steps=25),
    "multistep": lambda o: MultiStep(o, milestones=[0.2, 0.6], gamma=0.1, unit="share", warmup_steps=3),
    "cosine": lambda o: Cosine(o, final_factor=0.1, warmup_steps=3),
    "plateau": lambda o: Plateau(o, factor=0.5, patience=1, threshold=0.0, min_lr=0.01, warmup_steps=3),
}


@pytest.mark.parametrize("builder", BUILDERS.values(), ids=list(BUILDERS))
@pytest.mark.parametrize("stop", [1, 17, 18])
def test_resuming_gives_the_same_rates(builder: Callable[[torch.optim.Optimizer], Schedule], stop: int) -> None:
    whole = list(train(builder(two_groups())))
    first = builder(two_groups())
    start = list(train(first, last=stop))
    saved = copy.deepcopy((first.optimizer.state_dict(), first.state_dict()))

    second = builder(two_groups())
    second.optimizer.load_state_dict(saved[0])
    second.load_state_dict(saved[1])
    assert start + list(train(second, first=stop)) == whole


def test_a_schedule_built_on_loaded_rates_is_refused() -> None:
    schedule = BUILDERS["cosine"](two_groups())
    list(train(schedule, last=20))
    late = BUILDERS["cosine"](schedule.optimizer)
    with pytest.raises(ValueError, match=r"saved with learning rates \[0.3, 0.05\].*build the schedule before"):
        late.load_state_dict(schedule.state_dict())


@pytest.mark.parametrize(
    ("milestones", "unit", "message"),
    [
        ([3, 2], "epoch", r"must rise, got \[3, 2\]"),
        ([2, 2], "step", "must rise"),
        ([0.8], "epoch", r"unit=epoch must be whole and >= 1, got \[0.8\]"),
        ([100, 200], "share", r"unit=share must lie inside \(0, 1\)"),
        ([1.0], "share", "unit=share"),
    ],
)
def test_milestones_that_cannot_bind_are_refused(milestones: list[float], unit: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MultiStep(two_groups(), milestones=milestones, gamma=0.1, unit=unit, warmup_steps=0)  # type: ignore[arg-type]
