"""What is encoded on a GPU is decoded there, exactly; and batches come whole from the side stream."""

import pytest
import torch

import lic_exp
from lic_exp.config.options import options
from lic_exp.data.batches import on_device
from lic_exp.data.crops import Cut

SMALL = [name for name in options("model") if name.endswith("_tiny")]


@pytest.mark.parametrize("name", SMALL)
def test_every_small_model_decodes_what_its_encoder_saw(gpu, name):
    codec = lic_exp.create_model(name).to(gpu).eval()
    side = codec.facts.downsampling_factor
    x = torch.rand(2, 3, side, 2 * side, generator=torch.Generator().manual_seed(2)).to(gpu)
    codec.update()
    compressed = codec.compress(x)
    decoded = codec.decompress(compressed)
    assert decoded.device.type == "cuda"
    assert torch.equal(decoded, codec.reconstruct(compressed))
    laid_out = codec.compress(x.contiguous(memory_format=torch.channels_last))
    assert laid_out.strings == compressed.strings


@pytest.mark.parametrize("busy", ["the training's stream", "nothing"])
def test_batches_are_whole_when_they_are_handed_out(gpu, busy):
    pixels = [torch.randint(0, 256, (4, 3, 256, 256), dtype=torch.uint8) for _ in range(12)]
    cuts = (Cut(one.clone(), list("abcd"), [], None) for one in pixels)
    sums = []
    for batch in on_device(cuts, gpu):
        sums.append((batch.x * 255).round().sum(dtype=torch.float64))
        if busy != "nothing":
            torch.cuda._sleep(20_000_000)
            sums[-1] = sums[-1] + 0 * batch.x.sum()
    assert [float(one) for one in sums] == [float(one.sum(dtype=torch.float64)) for one in pixels]
