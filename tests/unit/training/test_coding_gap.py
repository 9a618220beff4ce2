"""Real bits beside estimated ones: what is kept of an early codec codes well, and validation watches that it does."""

import logging
from copy import deepcopy

import pytest
import torch
from training_parts import CPU, SmallCodec, loader, stage, trainer, unequal

import lic_exp
from lic_exp.tracking import names
from lic_exp.training.checkpoint import load_checkpoint
from lic_exp.training.coding_gap import coding_gap, has_quantiles
from lic_exp.training.criterion import MSE
from lic_exp.training.objective import Objective
from lic_exp.training.rng import rng_state, seed_everything
from lic_exp.training.validation import Validation

IMAGES = [(str(n), torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(n))) for n in range(2)]


@pytest.fixture(scope="module")
def early():
    """A codec whose density has followed its latents to 60, as its own optimizer makes it, and whose quantiles have
    hardly begun to: they move by a thousandth in a step.
    """
    torch.manual_seed(0)
    codec = lic_exp.create_model("factorized_tiny").train()
    *_, last = (module for module in codec.g_a.modules() if isinstance(module, torch.nn.Conv2d))
    with torch.no_grad():
        last.bias.fill_(60.0)
    density = [weight for name, weight in codec.entropy_bottleneck.named_parameters() if name != "quantiles"]
    adam, aux = torch.optim.Adam(density, 0.05), torch.optim.Adam([codec.entropy_bottleneck.quantiles], 1e-3)
    for _ in range(300):
        adam.zero_grad()
        aux.zero_grad()
        codec(IMAGES[0][1]).bits["y"].mean().backward()
        codec.aux_loss().backward()
        adam.step()
        aux.step()
    return codec.eval()


@torch.no_grad()
def gap_of(codec, x):
    estimated = sum(float(bits.sum()) for bits in codec(x).bits.values())
    return codec.compress(x).bits()[0] / estimated - 1


def test_an_early_codec_codes_badly_unless_its_tails_are_settled(early):
    kept = deepcopy(early)
    kept.load_state_dict(early.weights_for_coding())
    x = IMAGES[1][1]
    assert gap_of(deepcopy(early), x) > 5
    assert abs(gap_of(kept, x)) < 0.02
    decoded = kept.decompress(kept.compress(x))
    assert torch.equal(decoded, kept.reconstruct(kept.compress(x)))


def test_watching_leaves_no_trace(early, caplog):
    codec = deepcopy(early).train()
    before, drawn = deepcopy(dict(codec.state_dict())), rng_state()
    found = Validation(MSE(lmbda=0.01), IMAGES, CPU)(codec)
    assert abs(found[names.VAL_CODING_GAP]) < 0.02
    assert unequal(before, dict(codec.state_dict())) == []
    assert unequal(drawn, rng_state()) == []
    assert codec.training
    assert codec.tables_made_of is None, "its own tables were not made"
    assert "estimated" not in caplog.text


def test_a_gap_is_said(early, caplog, monkeypatch):
    monkeypatch.setattr(type(early), "weights_for_coding", lambda self: self.state_dict())
    gap = coding_gap(early, IMAGES[0][1])
    assert gap > 1
    assert f"bits are estimated, +{100 * gap:.1f} %: its coding tables do not fit" in caplog.text


def test_a_codec_that_cannot_code_is_said_and_ends_nothing(early, caplog):
    codec = deepcopy(early)
    with torch.no_grad():
        codec.entropy_bottleneck.quantiles[0, 0, 2] = torch.nan
    assert coding_gap(codec, IMAGES[0][1]) is None
    assert (
        "the first validation image cannot be coded: entropy_bottleneck.quantiles asks for tables of nan" in caplog.text
    )


@pytest.mark.parametrize("name", ["dhic_tiny", "hpcm_tiny"])
def test_codecs_without_quantiles_are_not_coded(name, monkeypatch):
    codec = lic_exp.create_model(name)
    assert not has_quantiles(codec)
    monkeypatch.setattr(type(codec), "compress", None)
    of = Validation(MSE(lmbda=0.01), [("a", torch.rand(1, 3, 128, 128))], CPU)
    assert names.VAL_CODING_GAP not in of(codec.eval())


def test_a_codec_that_only_trains_has_no_gap():
    assert has_quantiles(SmallCodec())
    assert coding_gap(SmallCodec().eval(), IMAGES[0][1]) is None


def training(folder, **how):
    seed_everything(0)
    of = Objective(lic_exp.create_model("factorized_tiny"), MSE(lmbda=0.01), {})
    return trainer(folder, of, [stage(of, 6, batches=loader(2, 64))], **how)


@pytest.mark.parametrize("judged", ["raw", "ema"])
def test_what_is_kept_as_best_is_settled_and_what_trains_is_not(tmp_path, judged, caplog):
    run = training(tmp_path, ema_decay=0.9, eval_weights=judged)
    with caplog.at_level(logging.WARNING):
        run.fit()
    codec = run.ema.codec if judged == "ema" else run.objective.codec
    best = load_checkpoint(tmp_path / "best.pt")
    step = load_checkpoint(run.checkpoints.steps()[-1])
    assert best["step"] == step["step"] == 6
    assert unequal(best["codec"], dict(codec.weights_for_coding())) == []
    assert unequal(step["codec"], dict(run.objective.codec.state_dict())) == []
    where = unequal(best["codec"], dict(codec.state_dict()))
    assert where == ["/entropy_bottleneck.quantiles"]
    gaps = [entry[names.VAL_CODING_GAP] for entry in run.reporter.entries if names.VAL_RD_LOSS in entry]
    assert len(gaps) == 2
    kept = lic_exp.create_model("factorized_tiny").eval()
    kept.load_state_dict(best["codec"])
    image = run.validate.images[0][1]
    assert gaps[-1] == pytest.approx(gap_of(kept, kept.pad(image)), rel=1e-6)


def test_training_is_the_same_whether_it_is_watched_or_not(tmp_path, monkeypatch):
    watched = training(tmp_path / "watched")
    watched.fit()
    monkeypatch.setattr("lic_exp.training.validation.has_quantiles", lambda codec: False)
    plain = training(tmp_path / "plain")
    plain.fit()
    one, other = ({k: v for k, v in run.state_dict().items() if k != "recorded"} for run in (watched, plain))
    assert unequal(one, other) == []
