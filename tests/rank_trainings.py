"""Short trainings as several ranks make them, and as one does, in double precision."""

import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

if "double" in sys.argv:  # before anything asks for either
    torch.float32 = torch.float64
    torch.Tensor.float = torch.Tensor.double
    torch.set_default_dtype(torch.float64)

from torch.nn.parallel import DistributedDataParallel
from training_parts import CPU, Notes, Poisoned, SmallCodec, options, step_options

from lic_exp.config.loading import load_config
from lic_exp.config.signing import data_source
from lic_exp.data.loading import validation_images
from lic_exp.divergence import DivergedError
from lic_exp.evaluation.evaluator import evaluate
from lic_exp.ops.ranks import rank
from lic_exp.runs import build as building
from lic_exp.tracking import names
from lic_exp.training.criterion import MSE
from lic_exp.training.objective import Objective
from lic_exp.training.rank_equality import RanksDifferError, check_ranks_equal
from lic_exp.training.shared_checkpoints import SharedCheckpoints
from lic_exp.training.trainer import Trainer
from lic_exp.training.validation import Validation

STEPS = 20
COMPARED_EVERY = 5

STAGED = ["spectral_reg.intra.truncation_unit=step", "spectral_reg.intra.truncation_length=8"]

CASES = {
    "range": [
        *("data.batch_size=4", "data.crop_size=128", "criterion.validation_rates=2"),
        "model=dhic_tiny",
        "spectral_reg=both_predict",
        *STAGED,
        "trainer.ema_decay=0.9",
        "trainer.eval_weights=ema",
    ],
    "quantiles": [
        *("data.batch_size=8", "data.crop_size=128"),
        *("spectral_reg=resolution", "spectral_reg.unit=step", "spectral_reg.length=8"),
        "model=mean_scale_hyperprior_tiny",
        "optimizer.eps=1e-2",
        "trainer.accumulate=2",
    ],
    "balanced": [
        *("data.batch_size=4", "data.crop_size=128", "criterion.validation_rates=2"),
        *("model=dhic_tiny", "criterion=balanced", "criterion.balance=0.5"),
    ],
    "hpcm": [
        *("data.batch_size=4", "data.crop_size=128"),
        *("model=hpcm_tiny", "spectral_reg=inter_game", "spectral_reg.unit=step", "spectral_reg.start=4"),
        *("spectral_reg.gradient_cap=0.1", "spectral_reg.gradient_every_steps=3", "optimizer=muon"),
    ],
    "bases": [
        *("data.batch_size=4", "data.crop_size=64", "model=factorized_tiny", "optimizer=soap", "optimizer.eps=1e-2"),
        *("optimizer.precondition_every_steps=5", "optimizer.max_precondition_dim=32"),
    ],
    "masks": [
        *("data.batch_size=4", "data.crop_size=64", "model=dhic_tiny", "optimizer=cautious_adam"),
        *("trainer.accumulate=2", "trainer.ema_decay=0.9"),
    ],
}
"""Of every family of models, with what a training may have besides: a hyperprior's quantiles have a loss of their own.

Adam divides also what is nothing but rounding by its own size, and a bound such as that of a GDN's gamma passes that on
or not: so where there is such, eps is larger. SOAP's sides are bounded so that every first statistic has its full
rank: rounding chooses the eigenvectors of a rest. A mask of cautious Adam's hangs on the sign of what may be rounding.
"""


def trainer_of(overrides: list[str], folder: Path) -> Trainer:
    config = load_config(["data=synthetic", "data.val_crop_size=128", "optimizer.eps=1e-6", *overrides])
    objective = building.build_objective(config, CPU).to(torch.get_default_dtype())
    stages = building.build_stages(config, objective, data_source, CPU)
    images = validation_images(data_source(config.data), crop_size=None, limit=None)
    trainer = config.trainer
    return Trainer(
        objective,
        stages,
        Validation(objective.criterion, images, CPU),
        names.VAL_RD_LOSS,
        SharedCheckpoints(folder, config.signature),
        Notes(),
        step_options(clip_max_norm=trainer.clip_max_norm, accumulate=trainer.accumulate),
        options(
            validate_every_steps=STEPS,
            checkpoint_every_steps=STEPS,
            compare_ranks_every_steps=5,
            ema_decay=trainer.ema_decay,
            eval_weights=trainer.eval_weights,
        ),
        CPU,
        config.seed,
    )


def other_cases() -> dict[str, Any]:
    return {"measured": measured(), "apart": in_a_wrong_order(), "spoilt": spoilt()}


def measured() -> dict[str, Any]:
    """What a validation and an evaluation give of seven images, and the names of the files that this rank has made."""
    config = load_config(["model=dhic_tiny", "data=synthetic", "data.val_images=7", "data.val_crop_size=128"])
    objective = building.build_objective(config, CPU)
    images = validation_images(data_source(config.data), crop_size=128, limit=None)
    found = Validation(objective.criterion, images, CPU)(objective.codec)
    with TemporaryDirectory() as folder:
        rates = building.evaluation_rates(objective.criterion, objective.codec, [0.0, 20.5])
        rows = evaluate(objective.codec, images, folder=Path(folder), pictures=1, device=CPU, rates=rates).rows
        written = sorted(path.name for path in Path(folder).iterdir())
    return {"validation": found, "rows": rows.drop(columns=["encode_s", "decode_s"]), "written": written}


def in_a_wrong_order() -> dict[str, str]:
    """{what is done wrong: what the comparison of ranks says of it, after so many steps}."""
    return {order: _compared(order) for order in ("step before the other backward", "an optimizer of one rank alone")}


def _compared(order: str) -> str:
    torch.manual_seed(0)
    objective = Objective(SmallCodec(), MSE(lmbda=0.01), {})
    wrapped = DistributedDataParallel(objective)
    net = torch.optim.Adam([weight for name, weight in objective.named_parameters() if "quantiles" not in name], 1e-2)
    aux = torch.optim.Adam([objective.codec.entropy.quantiles], 1e-2)
    random = torch.Generator().manual_seed(rank())
    for step in range(1, 61):
        net.zero_grad()
        aux.zero_grad()
        wrapped(torch.rand(2, 3, 16, 16, generator=random))["loss"].backward()
        if order == "step before the other backward":
            net.step()
            objective.aux_loss().backward()
            aux.step()
        else:
            objective.aux_loss().backward()
            if rank() == 0 or step < 7:
                net.step()
            aux.step()
        if step % COMPARED_EVERY == 0:
            try:
                check_ranks_equal(objective.state_dict, step)
            except RanksDifferError as error:
                return str(error)
    return "nothing"


def spoilt() -> str:
    """What a training says on each rank where the second rank's images have a NaN in step 3."""
    with TemporaryDirectory() as folder:
        trainer = trainer_of(
            ["model=hpcm_tiny", "data.crop_size=128", "data.batch_size=4", "trainer.max_steps=6"], Path(folder)
        )
        trainer.course.setup = replace(
            trainer.setup, loader=Poisoned(trainer.setup.loader, (3,) if rank() == 1 else ())
        )
        try:
            trainer.fit()
        except DivergedError as error:
            return f"{error.step}: {error}"
    return "nothing"


def all_cases(precision: str) -> dict[str, Any]:
    """{case: weights, metrics and what was drawn of a training by this rank}."""
    return {name: trained(overrides) for name, overrides in CASES.items()}


def trained(overrides: list[str]) -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        trainer = trainer_of([*overrides, f"trainer.max_steps={STEPS}"], Path(folder))
        drawn = given_to(trainer)
        trainer.rehearse()
        drawn.clear()
        trainer.fit()
        written = sorted(path.name for path in Path(folder).iterdir())
    state = trainer.state_dict()
    weights = {part: state[part] for part in ("codec", "ema", "regularizers", "criterion")}
    return {"weights": weights, "metrics": trainer.reporter.timeless(), "drawn": drawn[:3], "written": written}


def given_to(trainer: Trainer) -> list[dict[str, Any]]:
    """What each step is given from now on, in rows of the images: pixels, names, and what is drawn for them."""
    found: list[dict[str, Any]] = []
    step = trainer.stepper.step

    def noted(batch: Any, progress: Any) -> Any:
        done = step(batch, progress)
        draws = trainer.stepper.draws
        own = slice(rank() * draws.images, (rank() + 1) * draws.images)
        noise = {key: known[own].clone() for key, known in draws._known.items()}
        found.append({"x": batch.x.clone(), "names": batch.names, "shares": draws.shares(), "noise": noise})
        return done

    trainer.stepper.step = noted
    return found
