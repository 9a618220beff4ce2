"""What images get at random hangs on seed, step and place in the batch: not on its parts, nor on who drew before."""

import random
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from training_parts import CPU, SEED, adam, everything, loader, optimizers, stage, step_options, trainer, unequal

import lic_exp
from lic_exp.config.options import options
from lic_exp.data.loading import Batch
from lic_exp.models.noise import Noise
from lic_exp.progress import Progress
from lic_exp.random_streams import centred
from lic_exp.training.criterion import MSE
from lic_exp.training.draws import Draws, fill_there
from lic_exp.training.objective import Objective
from lic_exp.training.rng import rng_state, seed_everything
from lic_exp.training.stepper import Stepper
from lic_exp.training.variable_rate import VariableRate

TINY = [name for name in options("model") if name.endswith("_tiny")]
SIDES = {"hpcm_tiny": 128}
IMAGES = 8


def objective(model: str, drawn: str = "continuous") -> Objective:
    """Of a shipped model, with the criterion that goes with it; each the same."""
    seed_everything(0)
    codec = lic_exp.create_model(model)
    ranged = VariableRate(lmbda_min=0.001, lmbda_max=0.06, drawn_qualities=drawn, balance=0.0, validation_rates=2)
    return Objective(codec, ranged if codec.facts.variable_rate else MSE(lmbda=0.01), {}).train()


def batch(model: str, images: int = IMAGES, first: int = 0) -> Batch:
    side = SIDES.get(model, 64)
    x = torch.rand(IMAGES, 3, side, side, generator=torch.Generator().manual_seed(0))
    return Batch(x[first : first + images], [f"{i}.png" for i in range(images)])


def stepper(of: Objective, seed: int = SEED, **changes: object) -> Stepper:
    return Stepper(of, optimizers(of), step_options(clip_max_norm=None, **changes), CPU, seed)


class Given:
    """What a codec is given: noise by latent, and qualities, all parts of a step one after the other."""

    def __init__(self, of: Objective) -> None:
        self.noise: dict[str, list[torch.Tensor]] = {}
        self.quality: list[torch.Tensor] = []
        for name, module in of.codec.named_modules():
            if isinstance(module, Noise):
                module.register_forward_hook(partial(self._keep, name))
        of.codec.register_forward_pre_hook(lambda _, inputs: self.quality.extend(inputs[1:]))

    def _keep(self, name: str, module: nn.Module, inputs: object, output: torch.Tensor) -> None:
        self.noise.setdefault(f"{name} {module.taken}", []).append(output.clone())

    def whole(self) -> dict[str, torch.Tensor]:
        found = {name: torch.cat(parts) for name, parts in self.noise.items()}
        return found | ({"quality": torch.cat(self.quality)} if self.quality else {})


def gradients(of: Objective) -> dict[str, torch.Tensor]:
    return {name: weight.grad.clone() for name, weight in of.codec.named_parameters() if weight.grad is not None}


def drawn_of(seed: int, step: int, rank: int = 0, world: int = 1) -> list[torch.Tensor]:
    """Noise of two latents, and numbers for the qualities, of one process's images of a step."""
    latents, images = nn.ModuleList([Noise(), Noise()]), IMAGES // world
    draws = Draws(latents, seed, rank=rank, world=world)
    draws.draw(step, images)
    with draws.given(slice(0, images)):
        return [draws.shares(), *(noise(torch.zeros(images, 3, 5, 7)) for noise in latents)]


def draw_globally() -> None:
    """As some library may at any time."""
    torch.rand(3), random.random(), np.random.rand()  # noqa: NPY002


@pytest.fixture(scope="module", params=TINY)
def model(request):
    return request.param


@pytest.fixture(scope="module")
def whole(model):
    """Step 3 of a batch of 8 at once: what the codec was given, gradients, random states before and after."""
    of = objective(model)
    given, made = Given(of), stepper(of)
    before = rng_state()
    made.step(batch(model), Progress(3, 0, 0.0))
    return given.whole(), gradients(of), before, rng_state()


def test_a_step_takes_nothing_from_any_global_generator(whole):
    *_, before, after = whole
    assert unequal(before, after) == []


def test_every_shipped_model_asks_for_its_noise(model, whole):
    given, *_ = whole
    assert {len(values) for values in given.values()} == {IMAGES}
    noises = [values for name, values in given.items() if name != "quality"]
    assert len(noises) >= 1
    for values in noises:
        assert values.dim() == 4
        assert values.min() >= -0.5
        assert values.max() < 0.5
        assert len(values.unique()) > values.numel() / 2
        assert not torch.equal(values[0], values[1])
    assert ("quality" in given) == objective(model).codec.facts.variable_rate


def test_parts_of_a_batch_get_what_the_whole_batch_gets(model, whole):
    expected, wanted, *_ = whole
    of = objective(model)
    given, made = Given(of), stepper(of, accumulate=4)
    torch.rand(7)  # whoever draws in between
    made.step(batch(model), Progress(3, 0, 0.0))
    assert unequal(given.whole(), expected) == []
    found = gradients(of)
    assert found.keys() == wanted.keys()
    for name, gradient in found.items():
        largest = float(wanted[name].abs().max())
        torch.testing.assert_close(gradient, wanted[name], rtol=1e-3, atol=1e-4 * largest + 1e-12)


@pytest.mark.parametrize("model", ["dhic_tiny", "joint_autoregressive_tiny"])
def test_a_later_step_draws_as_if_none_came_before(model):
    """Also where the noise stands ready, instead of being drawn when it is asked for; and in the same memory."""
    given, places = [], []
    for steps in ([3], [2, 3]):
        of = objective(model)
        made = stepper(of)
        for step in steps:
            found = Given(of)
            made.step(batch(model, 2), Progress(step, 0, 0.0))
            places.append([known.data_ptr() for known in made.draws._known.values()])
        given.append(found.whole())
    assert unequal(*given) == []
    assert places[1] == places[2]


@pytest.mark.parametrize(("seed", "step"), [(SEED, 4), (SEED + 1, 3)])
def test_another_step_and_another_seed_draw_otherwise(seed, step):
    usual, other = (drawn_of(*key) for key in [(SEED, 3), (seed, step)])
    assert all(not torch.equal(one, two) for one, two in zip(usual, other, strict=True))


@pytest.mark.parametrize("world", [2, 4])
def test_processes_share_what_one_would_draw(world):
    """Each computes its images of the batch, all of them the whole batch."""
    shared = zip(*(drawn_of(SEED, 3, rank, world) for rank in range(world)), strict=True)
    assert unequal([torch.cat(parts) for parts in shared], drawn_of(SEED, 3)) == []


def test_what_is_learnt_beforehand_is_what_is_asked_for(model, whole):
    """And learning leaves neither buffers nor random states otherwise."""
    expected, *_ = whole
    of = objective(model)
    draws = Draws(of.codec, SEED)
    buffers, before = [buffer.clone() for buffer in of.codec.buffers()], rng_state()
    draws.draw(3, IMAGES)
    draws.learn(batch(model, 1).x)
    assert draws.learnt
    assert unequal(list(of.codec.buffers()), buffers) + unequal(rng_state(), before) == []
    drawn = sorted(float(known.double().sum()) for known in draws._known.values())
    assert drawn == sorted(float(values.double().sum()) for name, values in expected.items() if name != "quality")


def test_outside_of_training_noise_is_the_global_generators(model):
    of, x = objective(model), batch(model, 1).x
    pictures = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        pictures.append(sum(bits.sum() for bits in of.codec(x).bits.values()))
    assert pictures[0] == pictures[1] != pictures[2]
    assert not any(module.bound or module.values for module in of.codec.modules() if isinstance(module, Noise))


@pytest.mark.parametrize(
    ("model", "drawn"), [("dhic_tiny", "continuous"), ("dhic_tiny", "whole"), ("hyperprior_tiny", "")]
)
def test_a_resumed_training_needs_no_random_state(tmp_path, model, drawn):
    """Bit for bit, whatever this process has drawn in between, and although the checkpoint's states are others."""

    def made(folder: str):
        of = objective(model, drawn)
        batches = loader(batch_size=3, crop_size=64)
        stages = [stage(of, 3, batches=batches, factory=adam), stage(of, 2, batches=batches, factory=adam)]
        return trainer(tmp_path / folder, of, stages, validate_every_steps=100)

    undisturbed = made("undisturbed")
    undisturbed.validate = lambda codec: {"val/rd_loss": 0.0}
    undisturbed.fit()
    stopped = made("stopped")
    stopped.validate, reasons = undisturbed.validate, iter([None, None, "asked"])
    stopped.should_stop = lambda: next(reasons)
    with pytest.raises(Exception, match="stopped after step 2"):
        stopped.fit()
    resumed = made("stopped")
    resumed.validate = undisturbed.validate
    assert resumed.resume()
    seed_everything(99)
    resumed.objective.codec.register_forward_pre_hook(lambda *_: draw_globally())
    resumed.fit()
    ours, theirs = everything(resumed), everything(undisturbed)
    assert [place for place in unequal(ours, theirs) if not place.startswith(("/rng", "/notes", "/recorded"))] == []


@pytest.mark.parametrize("shape", [(4, 3, 5, 7), (2, 1, 1, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_noise_has_the_numbers_and_the_kind_that_are_asked_for(shape, dtype):
    codec = nn.Sequential(Noise())
    draws = Draws(codec, SEED)
    draws.draw(1, shape[0])
    with draws.given(slice(0, shape[0])):
        drawn = codec(torch.zeros(shape, dtype=dtype))
    expected = torch.from_numpy(centred(drawn.numel(), seed=SEED, step=1, latent=0)).view(shape)
    assert drawn.dtype == dtype
    assert torch.equal(drawn, expected.to(dtype))


def test_a_noise_that_is_asked_twice_gives_two():
    codec, like = Noise(), torch.zeros(2, 3)
    draws = Draws(codec, SEED)
    for _ in range(2):
        draws.draw(1, 2)
        with draws.given(slice(0, 2)):
            once, again = codec(like), codec(like)
        assert not torch.equal(once, again)


def test_noise_of_another_size_is_drawn_anew():
    codec = Noise()
    draws = Draws(codec, SEED)
    for images, side in [(2, 3), (2, 5), (4, 5), (2, 3)]:
        draws.draw(1, images)
        with draws.given(slice(0, images)):
            drawn = codec(torch.zeros(images, side))
        assert torch.equal(drawn, torch.from_numpy(centred(images * side, seed=SEED, step=1, latent=0)).view(-1, side))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # the compiler's
def test_a_captured_graph_finds_new_noise_in_the_same_place():
    """One graph, whole, for every step and every part of the batch."""

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.noise, self.other = Noise(), Noise()

        def forward(self, x):
            return x + self.noise(x) + self.other(x[:, :1]) + self.noise(x)

    codec, x, graphs = Twice(), torch.zeros(4, 3, 8, 8), []
    draws = Draws(codec, SEED)

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(codec, fullgraph=True, backend=backend)
    draws.draw(0, 4)
    draws.learn(x)
    for step in range(3):
        draws.draw(step, 4)
        for rows in (slice(0, 2), slice(2, 4)):
            with draws.given(rows):
                found = compiled(x[rows])
            with draws.given(rows):
                assert torch.equal(found, codec(x[rows]))
    assert len(graphs) == 1


def test_what_was_learnt_of_another_number_of_images_is_not_known():
    class Once(nn.Module):
        def __init__(self):
            super().__init__()
            self.noise = Noise()

        def forward(self, x):
            return x + self.noise(x)

    draws = Draws(Once(), SEED)
    draws.draw(0, 4)
    draws.learn(torch.zeros(4, 3, 8, 8))
    draws.draw(1, 4)
    assert draws.learnt
    draws.draw(2, 3)
    assert not draws.learnt
    draws.learn(torch.zeros(3, 3, 8, 8))
    draws.draw(3, 3)
    assert draws.learnt
    draws.draw(4, 3, (4, 4))
    assert not draws.learnt


@pytest.mark.parametrize("change", [{"step": 2}, {"latent": 1}, {"seed": 1}])
def test_a_device_draws_from_its_own_generator_by_the_same_counter(change):
    def filled(**counter: int) -> torch.Tensor:
        known = torch.empty(4, 3, 8, 8)
        fill_there(known, **{"seed": 0, "step": 1, "latent": 0} | counter)
        return known

    before = torch.get_rng_state()
    assert torch.equal(filled(), filled())
    assert not torch.equal(filled(**change), filled())
    assert torch.equal(torch.get_rng_state(), before)
    assert filled().min() >= -0.5
    assert filled().max() < 0.5
