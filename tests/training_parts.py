"""Small parts to train with in the test's own process: a codec, a regularizer, batches, and a trainer of them."""

import math
import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lic_exp.capabilities import CodecFacts
from lic_exp.data.batches import Batch
from lic_exp.data.loading import TrainLoader
from lic_exp.data.sources import Synthetic
from lic_exp.models.base import Codec, CodecOutput, VariableRateCodec
from lic_exp.models.noise import Noise
from lic_exp.optimizers import factories
from lic_exp.optimizers.groups import Optimizers, build_optimizers, split_parameters
from lic_exp.optimizers.schedules import Constant, Schedule
from lic_exp.progress import Progress
from lic_exp.spectral_reg.base import SpectralRegularizer
from lic_exp.tracking import names
from lic_exp.training.balanced import Balanced, BalancedMSE
from lic_exp.training.checkpoint import Checkpoints
from lic_exp.training.criterion import MSE
from lic_exp.training.objective import Objective
from lic_exp.training.options import TrainerOptions
from lic_exp.training.rng import rng_state, seed_everything
from lic_exp.training.stages import Setup, Stage
from lic_exp.training.stepper import StepOptions
from lic_exp.training.trainer import Trainer
from lic_exp.training.validation import Validation
from lic_exp.training.variable_rate import VariableRate

CPU = torch.device("cpu")
RUN = "0123456789abcdef"
SEED = 5

adam = partial(factories.adam, lr=1e-3, betas=[0.9, 0.999], eps=1e-8, weight_decay=0.0)


class SmallCodec(Codec):
    """One convolution each way, quantiles, a buffer that every forward pass changes, and noise of all generators."""

    facts = CodecFacts(downsampling_factor=4, latents=1)

    def __init__(self, channels: int = 4, noise: float = 0.5) -> None:
        super().__init__()
        self.g_a = nn.Conv2d(3, channels, 4, 4)
        self.g_s = nn.ConvTranspose2d(channels, 3, 4, 4)
        self.entropy = nn.Module()
        self.entropy.quantiles = nn.Parameter(torch.tensor([-1.0, 0.0, 1.0]))
        self.noise = noise
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> CodecOutput:
        y = self.g_a(x)
        if self.training:
            self.seen += len(x)
            shift = self.noise * (random.random() + np.random.rand())  # noqa: NPY002 (the generators a library may use)
            y_hat = y + self.noise * (torch.rand_like(y) - 0.5) + 0.01 * shift
        else:
            y_hat = y.round()
        return CodecOutput(self.g_s(y_hat).float(), {"y": 1 + y_hat.float().square()}, (y_hat,))

    def aux_loss(self) -> Tensor:
        return self.entropy.quantiles.square().sum()

    def update(self, force: bool = True) -> None:
        pass


class Noisy(SmallCodec):
    """Noise that it is given, as shipped codecs are: what Python draws would stay in a recording or graph as it was."""

    def __init__(self) -> None:
        super().__init__()
        self.uniform = Noise()

    def forward(self, x: Tensor) -> CodecOutput:
        y = self.g_a(x)
        self.seen += len(x) * self.training
        y_hat = y + self.uniform(y) if self.training else y.round()
        return CodecOutput(self.g_s(y_hat).float(), {"y": 1 + y_hat.float().square()}, (y_hat,))


class ScalableCodec(VariableRateCodec, SmallCodec):
    """The small codec with a gain per quality; `asked` are the qualities of its last forward pass."""

    facts = CodecFacts(downsampling_factor=4, latents=1, variable_rate=True)

    def __init__(self, channels: int = 4) -> None:
        super().__init__(channels)
        self.max_quality = 63.0
        self.log_gain = nn.Parameter(torch.tensor(2.0))

    def forward(self, x: Tensor, quality: float | Tensor | None = None) -> CodecOutput:
        self.asked = quality
        share = torch.as_tensor(self.max_quality if quality is None else quality) / self.max_quality
        gain = (share * self.log_gain).exp().reshape(-1, 1, 1, 1)
        y = gain * self.g_a(x)
        y_hat = y + torch.rand_like(y) - 0.5 if self.training else y.round()
        return CodecOutput(self.g_s(y_hat / gain).float(), {"y": 1 + y_hat.float().square()}, (y_hat,))


class ThreeScales(Codec):
    """Three latents of strides 8, 4 and 2, all linear: each predicted from the coarser one, the first from a bias.

    Rates are those of rounded Gaussians whose tails become densities, so that no gradient is lost far out.
    """

    facts = CodecFacts(downsampling_factor=8, latents=3)

    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self.publishes_bias = bias
        self.em_bias = nn.Parameter(0.1 * torch.randn(1, 6, 1, 1))
        sizes = list(zip((6, 5, 4), (5, 4, 3), (8, 4, 2), strict=True))
        self.g_a = nn.ModuleList(nn.Conv2d(3, width, stride, stride) for _, width, stride in sizes)
        self.g_s = nn.ModuleList(nn.ConvTranspose2d(width, 3, stride, stride) for _, width, stride in sizes)
        self.prior = nn.ModuleList(nn.Conv2d(coarser, 2 * width, 1) for coarser, width, _ in sizes)
        self.log_step = nn.ParameterList(torch.zeros(1, width, 1, 1) for _, width, _ in sizes)

    def forward(self, x: Tensor) -> CodecOutput:
        context = self.em_bias.expand(len(x), -1, x.shape[-2] // 16 + 1, x.shape[-1] // 16 + 1)
        x_hat, bits, views = torch.zeros_like(x), {}, {"descaled": [], "scaled": [], "mean": [], "prior_mean": []}
        for number, (g_a, g_s, prior, log_step) in enumerate(
            zip(self.g_a, self.g_s, self.prior, self.log_step, strict=True), 1
        ):
            mean, step = g_a(x), log_step.exp()
            prior_mean, log_width = prior(nn.functional.interpolate(context, mean.shape[-2:])).chunk(2, 1)
            residual = (mean - prior_mean) / step
            rounded = residual + (residual.round() - residual).detach()
            noisy = residual + torch.rand_like(residual) - 0.5 if self.training else rounded
            bits[f"z{number}"] = rounded_gaussian_bits(noisy.float(), log_width.float().exp() + 0.1)
            scaled = rounded + prior_mean / step
            context = scaled * step
            x_hat = x_hat + g_s(context)
            for view, value in zip(views, (context, scaled, mean, prior_mean), strict=True):
                views[view].append(value)
        published = {view: tuple(values) for view, values in views.items()}
        published |= {"bias": (self.em_bias,)} if self.publishes_bias else {}
        return CodecOutput(x_hat.float(), bits, published.pop("descaled"), published)


def rounded_gaussian_bits(x: Tensor, width: Tensor) -> Tensor:
    """Bits of x under a Gaussian of mean 0 rounded to whole numbers; of its density where that is below 1e-6."""
    gaussian = torch.distributions.Normal(torch.zeros_like(width), width)
    probability = gaussian.cdf(x + 0.5) - gaussian.cdf(x - 0.5)
    nats = torch.where(probability > 1e-6, probability.clamp(min=1e-6).log(), gaussian.log_prob(x))
    return -nats / math.log(2)


class Gain(SpectralRegularizer):
    """A penalty with a parameter of its own, and a buffer that moves with every step.

    bad_steps: where its value is 0 and its gradient NaN.
    """

    def __init__(self, bad_steps: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(2.0))
        self.register_buffer("average", torch.zeros(()))
        self.bad_steps, self.step = bad_steps, 0

    def set_progress(self, progress: Progress) -> None:
        self.step = progress.step

    def penalty(self, output: CodecOutput) -> Tensor | None:
        if not self.training:
            return None
        mean = output.latents[0].float().mean()
        self.average.lerp_(mean.detach(), 0.1)
        bad = (0 * self.gain).sqrt() if self.step in self.bad_steps else 0.0
        return 0.1 * (self.gain * mean - self.average).square() + bad


class Poisoned:
    """A loader whose batches of some steps have a NaN in them."""

    def __init__(self, loader: TrainLoader, steps: tuple[int, ...]) -> None:
        self.loader, self.steps = loader, steps
        self.steps_per_epoch = loader.steps_per_epoch

    def batches(self, start_step: int) -> Iterator[Batch]:
        for step, batch in enumerate(self.loader.batches(start_step), start_step):
            if step in self.steps:
                batch.x[0, 0, 0, 0] = torch.nan
            yield batch


class Notes:
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.entries: list[dict[str, float]] = []
        self.advanced: list[int] = []
        self.without_graphs: list[int] = []

    def log(self, metrics: dict[str, float], *, step: int, epoch: int) -> None:
        self.entries.append({"step": step, "epoch": epoch} | metrics)

    def advance(self, step: int) -> None:
        self.advanced.append(step)

    def uncaptured(self, step: int) -> None:
        self.without_graphs.append(step)

    def position(self) -> int:
        return len(self.entries)

    def rewind(self, position: int) -> None:
        del self.entries[position:]

    def timeless(self) -> list[dict[str, float]]:
        """The entries without wall-clock numbers."""
        return [
            {key: value for key, value in entry.items() if key != names.TRAIN_IMAGES_PER_S} for entry in self.entries
        ]


def source(images: int = 6, side: int = 32) -> Synthetic:
    return Synthetic(train_images=images, val_images=2, height=side, width=side, image_seed=0)


def loader(batch_size: int = 2, crop_size: int = 16, bad_steps: tuple[int, ...] = ()) -> Any:
    made = TrainLoader(
        source(side=max(32, crop_size)),
        seed=1,
        batch_size=batch_size,
        crop_size=crop_size,
        flip=True,
        num_workers=0,
        steps_per_epoch=None,
        cache_mb=8,
        store_mb=0,
        device=CPU,
    )
    return Poisoned(made, bad_steps) if bad_steps else made


def objective(
    seed: int = 0, *, regularizer: Gain | None = None, noise: float = 0.5, rates: VariableRate | None = None
) -> Objective:
    """rates: the criterion of a variable-rate codec, which the objective then has."""
    seed_everything(seed)
    codec = ScalableCodec() if rates else SmallCodec(noise=noise)
    return Objective(codec, rates or MSE(lmbda=0.01), {"gain": regularizer} if regularizer else {})


def variable_rate(**changes: Any) -> VariableRate:
    usual = {"lmbda_min": 0.001, "lmbda_max": 0.064, "drawn_qualities": "continuous"}
    usual |= {"balance": 0.0, "validation_rates": 4}
    return VariableRate(**usual | changes)


def balanced(rates: VariableRate | None = None) -> Balanced | BalancedMSE:
    """The criterion of the same rates, or of one, whose two losses are balanced."""
    shares = {"share_lr": 0.025, "share_decay": 0.003}
    if rates is None:
        return BalancedMSE(lmbda=0.01, **shares)
    options = ("lmbda_min", "lmbda_max", "drawn_qualities", "balance", "validation_rates")
    return Balanced(**{name: getattr(rates, name) for name in options}, **shares)


def scales_objective(regularizer: SpectralRegularizer | None, seed: int = 0, lmbda: float = 0.01) -> Objective:
    """`ThreeScales` with a regularizer that is attached to it."""
    seed_everything(seed)
    codec = ThreeScales()
    if regularizer is None:
        return Objective(codec, MSE(lmbda=lmbda), {})
    regularizer.attach(codec)
    return Objective(codec, MSE(lmbda=lmbda), {"spectral_reg": regularizer})


def optimizers(of: Objective, factory: Callable[..., Any] = adam, lr: float = 1e-3, **more: Any) -> Optimizers:
    """`factory` must have its own lr bound to the same value."""
    options = {"aux_lr": 1e-2, "reg_lr": None, "lr_factors": {}} | more
    return build_optimizers(split_parameters(of.codec, of.regularizers), factory, lr=lr, **options)


def constant(optimizer: torch.optim.Optimizer) -> Schedule:
    return Constant(optimizer, warmup_steps=0)


def stage(
    of: Objective,
    steps: int,
    *,
    batches: Any = None,
    factory: Callable[..., Any] = adam,
    schedule: Callable[[torch.optim.Optimizer], Schedule] = constant,
    reset: bool = False,
    **more: Any,
) -> Stage:
    """A stage of the objective; `more` goes to `optimizers`."""
    batches = batches or loader()

    def build() -> Setup:
        made = optimizers(of, factory, **more)
        return Setup(made, schedule(made.net), batches)

    return Stage(steps, build, reset_optimizer=reset)


def step_options(**changes: Any) -> StepOptions:
    return StepOptions(
        **{"clip_max_norm": 1.0, "precision": "float32", "channels_last": False, "accumulate": 1, "compile": False}
        | changes
    )


def options(**changes: Any) -> TrainerOptions:
    usual = {
        "log_every_steps": 1,
        "validate_every_steps": 3,
        "checkpoint_every_steps": 2,
        "compare_ranks_every_steps": 100,
        "on_nonfinite": "fail",
        "nonfinite_budget": 3,
        "ema_decay": None,
        "eval_weights": "raw",
    }
    return TrainerOptions(**usual | changes)


def trainer(
    folder: Path,
    of: Objective,
    stages: list[Stage],
    *,
    identity: str = RUN,
    stepping: StepOptions | None = None,
    should_stop: Callable[[], str | None] = lambda: None,
    **changes: Any,
) -> Trainer:
    """A trainer with validation on two images, whose checkpoints lie in `folder`; `changes` are of its options."""
    images = [(str(i), torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(i))) for i in range(2)]
    return Trainer(
        of,
        stages,
        Validation(of.criterion, images, CPU),
        names.VAL_RD_LOSS,
        Checkpoints(folder, identity),
        Notes(),
        stepping or step_options(),
        options(**changes),
        CPU,
        SEED,
        should_stop,
    )


def everything(of: Trainer) -> dict[str, Any]:
    """All that may differ between two trainers at the same step, random states and logged numbers included."""
    return of.state_dict() | {"rng": rng_state(), "notes": of.reporter.timeless()}


def unequal(one: Any, two: Any, path: str = "") -> list[str]:
    """Where two nests of containers and tensors differ, bit by bit."""
    if isinstance(one, dict) and isinstance(two, dict) and one.keys() == two.keys():
        return [found for key in one for found in unequal(one[key], two[key], f"{path}/{key}")]
    if isinstance(one, list | tuple) and isinstance(two, list | tuple) and len(one) == len(two):
        return [found for i in range(len(one)) for found in unequal(one[i], two[i], f"{path}[{i}]")]
    return [] if _same(one, two) else [path]


def _same(one: Any, two: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(two, Tensor):
        return one.dtype == two.dtype and torch.equal(one, two)
    both_nan = isinstance(one, float) and isinstance(two, float) and math.isnan(one) and math.isnan(two)
    return both_nan or bool(one == two)
