"""Stages: what may differ from stage to stage, what a stage's config becomes, and what it trains with."""

from dataclasses import replace

import pytest
import torch

from lic_exp.config.compose import compose
from lic_exp.config.errors import ConfigError
from lic_exp.config.overrides import parse
from lic_exp.config.reach import last_step
from lic_exp.config.schema import StageConfig
from lic_exp.config.signing import data_source
from lic_exp.config.validation import validate
from lic_exp.runs import build

CPU = torch.device("cpu")
SMALL = ("model=factorized_tiny", "data=synthetic", "tracker=none")
FIRST = "{steps: 3, data: {batch_size: 4}}"
SECOND = "{steps: 2, data: {crop_size: 128, batch_size: 1}, optimizer: {lr: 1e-5}, optimizer_state: reset}"


def checked(*overrides):
    return validate(compose(parse([*SMALL, *overrides])))


def staged(*stages, more=()):
    return checked("trainer.max_steps=null", f"stages=[{','.join(stages)}]", *more)


def messages(*stages, more=()):
    with pytest.raises(ConfigError) as error:
        staged(*stages, more=more)
    return error.value.messages


def built(config):
    objective = build.build_objective(config, CPU)
    return objective, build.build_stages(config, objective, data_source, CPU)


def test_a_run_without_stages_is_one_stage():
    config = checked("trainer.max_steps=7")
    (only,) = config.stage_configs
    assert only == StageConfig(7, None, "keep", config.data, config.optimizer, config.scheduler)


def test_a_stage_changes_what_it_names_and_keeps_the_rest():
    config = staged(FIRST, SECOND, more=("data.crop_size=64", "optimizer.lr=1e-3"))
    first, second = config.stage_configs
    assert [stage.max_steps for stage in (first, second)] == [3, 2]
    assert (first.data.batch_size, first.data.crop_size, first.optimizer.options["lr"]) == (4, 64, 1e-3)
    assert (second.data.batch_size, second.data.crop_size, second.optimizer.options["lr"]) == (1, 128, 1e-5)
    seeds = [node.options["image_seed"] for node in (first.data, second.data, config.data)]
    assert len(set(seeds)) == 1
    assert first.scheduler.plain() == second.scheduler.plain() == config.scheduler.plain()


def test_stages_train_with_what_they_say():
    _, (first, second) = built(staged(FIRST, SECOND))
    assert (first.steps, second.steps) == (3, 2)
    assert (first.reset_optimizer, second.reset_optimizer) == (False, True)
    shapes = [next(stage.build().loader.batches(0)).x.shape for stage in (first, second)]
    assert shapes == [(4, 3, 64, 64), (1, 3, 128, 128)]
    assert second.build().optimizers.net.param_groups[0]["lr"] == 1e-5


def test_a_stage_may_have_another_optimizer_and_schedule():
    other = "{_target_: lic_exp.optimizers.factories.sgd, lr: 1e-2, momentum: 0.9, nesterov: true, weight_decay: 0, "
    other += "aux_lr: 1e-3, reg_lr: null, lr_factors: {}}"
    plateau = "{_target_: lic_exp.optimizers.schedules.Constant, warmup_steps: 2}"
    config = staged(FIRST, f"{{steps: 2, optimizer: {other}, scheduler: {plateau}, optimizer_state: reset}}")
    _, (first, second) = built(config)
    kinds = [type(stage.build().optimizers.net).__name__ for stage in (first, second)]
    assert kinds == ["Adam", "SGD"]
    assert [type(stage.build().schedule).__name__ for stage in (first, second)] == ["Cosine", "Constant"]


def test_a_stage_may_mix_other_data(photos):
    folders = f"data: {{_target_: lic_exp.data.sources.Folder, train: [{photos}/train], val: [{photos}/val], "
    config = checked("trainer.max_steps=null", f"stages=[{FIRST}]")
    node = {**config.data.plain(), "_target_": "lic_exp.data.sources.Folder"}
    assert node["batch_size"] == 2
    own = folders + "train_weights: null, batch_size: 2, crop_size: 64, flip: true, num_workers: 0, "
    own += "steps_per_epoch: null, cache_mb: 1, preflight: fail}"
    found = messages(f"{{steps: 2, {own}}}")
    assert any(message.startswith("stages[0].data.val: validation stays the same") for message in found), found


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ("{steps: 0}", "stages[0].steps=0: should be greater than or equal to 1"),
        ("{steps: 2, data: {batch: 4}}", "stages[0]: data.batch: there is no such key"),
        ("{steps: 2, data: {batch_size: 0}}", "stages[0]: data.batch_size=0: should be greater than or equal to 1"),
        ("{steps: 2, optimizer: {lr: -1}}", "stages[0]: optimizer.lr=-1: should be greater than 0"),
        ("{steps: 2, data: {crop_size: 60}}", "stages[0]: "),
        ("{steps: 2, model: {N: 8}}", "stages[0].model: there is no such key"),
        ("{data: {batch_size: 4}}", "stages[0].steps must be given"),
        ("{steps: 2, data: {val_limit: 1}}", "stages[0].data.val_limit: validation stays the same for the whole run"),
        ("{steps: 2, optimizer_state: drop}", "stages[0].optimizer_state=drop: should be 'keep' or 'reset'"),
    ],
)
def test_a_wrong_stage_is_named(stage, expected):
    found = messages(stage)
    assert any(message.startswith(expected) for message in found), found


def test_the_second_stages_errors_are_told_beside_the_firsts():
    found = messages("{steps: 2, optimizer: {lr: -1}}", "{steps: 2, data: {batch_size: 0}}")
    assert [message.partition(":")[0] for message in found] == ["stages[0]", "stages[1]"]


def test_stages_are_part_of_a_runs_identity():
    names = {
        config.signature
        for config in (
            checked("trainer.max_steps=5"),
            staged(FIRST),
            staged(FIRST, SECOND),
            staged(SECOND, FIRST),
            staged(FIRST, SECOND.replace("reset", "keep")),
            staged(FIRST, SECOND.replace("steps: 2", "steps: 3")),
        )
    }
    assert len(names) == 6
    assert staged(FIRST).signature == staged(FIRST.replace("4", "4, num_workers: 1")).signature


def test_a_stages_loader_problem_is_met_before_the_first_stage_trains():
    """Loaders are made right away; a sampler of no images cannot be."""
    config = staged(FIRST, SECOND)
    objective = build.build_objective(config, CPU)

    class Empty:
        def train(self):
            raise ValueError("no image in this stage")

    sources = iter([data_source(config.data), Empty()])
    with pytest.raises(ValueError, match="no image in this stage"):
        build.build_stages(config, objective, lambda data: next(sources), CPU)
    stage, *_ = config.stage_configs
    assert last_step(replace(stage, max_steps=None, max_epochs=3), 10) == 30
