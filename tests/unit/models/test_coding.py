"""What a decoder computes depends on the bytes, their shape and the weights, not on what its encoder's caller did."""

import copy
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from functools import cache, partial

import pytest
import torch
from torch import Tensor, nn

import lic_exp
from lic_exp.capabilities import CodecFacts
from lic_exp.config.options import options
from lic_exp.models import coding
from lic_exp.models.base import Codec, CodecOutput, Compressed

TINY = [name for name in options("model") if name.endswith("_tiny")]
SERIAL = [name for name in TINY if "autoregressive" in name or "cheng" in name]
"""They take half a second for what others do in a few milliseconds."""

WIDE = "dhic_tiny wide"
"""Of more than 128 channels, whose features keep the layout of the image on a CPU, as those of any codec on a GPU."""


class Mixed(nn.Module):
    """Coding methods that a codec has from elsewhere."""

    def compress(self, x: Tensor) -> Compressed:
        assert x.shape[0] == 1
        assert x.is_contiguous()
        symbols = (8 * self.g_a(x)).round()
        return Compressed([[symbols.to(torch.int16).numpy().tobytes()]], symbols.shape[1:], state=symbols)


class Plugin(Mixed, Codec):
    """A codec of a user's own that has not thought of who calls: its kernels and modes are the caller's."""

    facts = CodecFacts(downsampling_factor=8, latents=1)

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.g_a = nn.Sequential(nn.Conv2d(3, 160, 8, 8), nn.Dropout(0.1), nn.Conv2d(160, 8, 1))
        self.g_s = nn.ConvTranspose2d(8, 3, 8, 8)

    def forward(self, x: Tensor) -> CodecOutput:
        y = self.g_a(x)
        return CodecOutput(self.g_s(y), {"y": y.abs()}, (y,))

    def decompress(self, compressed: Compressed) -> Tensor:
        ((string,),) = compressed.strings
        symbols = torch.frombuffer(bytearray(string), dtype=torch.int16).reshape(1, *compressed.shape)
        return self.picture(symbols / torch.tensor(8.0))

    def reconstruct(self, compressed: Compressed) -> Tensor:
        return self.picture(compressed.state / torch.tensor(8.0))

    def picture(self, y_hat: Tensor) -> Tensor:
        return self.g_s(y_hat).float().sigmoid()

    def update(self, force: bool = True) -> None:
        pass


def made(name: str) -> Codec:
    """A codec whose latents are more than zeros, with tables."""
    if name == "plugin":
        return Plugin().eval()
    name, _, wide = name.partition(" ")
    given = {"widths": [160] * 4} if wide else {}
    codec = lic_exp.create_model(name, **given).eval()
    with torch.no_grad():
        while (output := codec(image(codec))).latents[-1].round().unique().numel() < 5 or shown(output).std() == 0:
            for parameter in codec.parameters():
                if parameter.dim() == 4:
                    parameter.mul_(1.2)
    codec.update()
    return codec


def shown(output: CodecOutput) -> Tensor:
    return output.x_hat.clamp(0, 1)


@pytest.fixture(scope="module", params=[*TINY, WIDE, "plugin"])
def codec(request: pytest.FixtureRequest) -> Codec:
    return made(request.param)


@pytest.fixture(scope="module", params=[*(name for name in TINY if name not in SERIAL), WIDE, "plugin"])
def swift(request: pytest.FixtureRequest) -> Codec:
    return made(request.param)


def image(codec: Codec, height: int = 1, width: int = 1, seed: int = 0) -> Tensor:
    side = codec.facts.downsampling_factor
    return torch.rand(1, 3, height * side, width * side, generator=torch.Generator().manual_seed(seed))


@cache
def expected(codec: Codec) -> tuple[list[bytes], Tensor]:
    """The image's strings and picture, as the evaluator has them."""
    compressed = codec.compress(image(codec))
    picture = codec.decompress(replace(compressed, state=None))
    assert torch.equal(picture, codec.reconstruct(compressed))
    assert picture.std() > 0
    return [string for (string,) in compressed.strings], picture


def strided(x: Tensor) -> Tensor:
    return torch.stack((x, x), -1)[..., 0]


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "channels_last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "strided": strided,
    "float64": Tensor.double,
    "with gradient": lambda x: x.clone().requires_grad_(),
}


@contextmanager
def channels_last_weights(codec: Codec) -> Iterator[None]:
    before = {name: parameter.data for name, parameter in codec.named_parameters()}
    codec.to(memory_format=torch.channels_last)
    layouts = [parameter.stride() for parameter in codec.parameters()]
    try:
        yield
        assert layouts == [parameter.stride() for parameter in codec.parameters()], "put back"
    finally:
        for name, parameter in codec.named_parameters():
            parameter.data = before[name]


@contextmanager
def trained_on(codec: Codec) -> Iterator[None]:
    """A forward and backward pass, after which the codec stays in train mode."""
    try:
        codec.train()(image(codec)).x_hat.sum().backward()
        yield
        assert codec.training
        assert all(module.training for module in codec.children())
    finally:
        codec.eval()
        codec.zero_grad()


@contextmanager
def another_size(codec: Codec) -> Iterator[None]:
    codec.decompress(codec.compress(image(codec, 2, 1)))
    yield


@contextmanager
def changed(codec: Codec, read: Callable[[], object], write: Callable[[object], None], value: object) -> Iterator[None]:
    before = read()
    write(value)
    try:
        yield
        assert read() == value, "put back"
    finally:
        write(before)


Caller = Callable[[Codec], AbstractContextManager[object]]
mkldnn, cuda = torch.backends.mkldnn, torch.backends.cuda
CALLERS: dict[str, Caller] = {
    "autocast": lambda codec: torch.autocast("cpu", torch.bfloat16),
    "inference mode": lambda codec: torch.inference_mode(),
    "default device": lambda codec: torch.device("meta"),
    "default dtype": partial(changed, read=torch.get_default_dtype, write=torch.set_default_dtype, value=torch.float64),
    "three threads": partial(changed, read=torch.get_num_threads, write=torch.set_num_threads, value=3),
    "sixteen threads": partial(changed, read=torch.get_num_threads, write=torch.set_num_threads, value=16),
    "no oneDNN": partial(changed, read=lambda: mkldnn.enabled, write=partial(setattr, mkldnn, "enabled"), value=False),
    "lax products": partial(
        changed, read=torch.get_float32_matmul_precision, write=torch.set_float32_matmul_precision, value="medium"
    ),
    "one attention": partial(changed, read=cuda.flash_sdp_enabled, write=cuda.enable_flash_sdp, value=False),
    "channels_last weights": channels_last_weights,
    "trained on": trained_on,
    "another size": another_size,
}


def check(codec: Codec, x: Tensor, around: Caller, position: int = 0) -> None:
    """What `around` changes for the encoder, the decoder, or both makes no difference."""
    strings, picture = expected(codec)
    with around(codec):
        compressed = codec.compress(x)
        received = replace(compressed, state=None)
        assert [kind[position] for kind in compressed.strings] == strings
        here = codec.decompress(received)
        own = codec.reconstruct(compressed)
    for found in (here, own, codec.decompress(received)):
        assert torch.equal(found[position : position + 1], picture)
        assert not found.requires_grad


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_of_an_image_makes_no_difference(swift, layout):
    check(swift, LAYOUTS[layout](image(swift)), nullcontext)


@pytest.mark.parametrize("position", [0, 2])
def test_other_images_make_no_difference(swift, position):
    images = [image(swift, seed=seed) for seed in (1, 2)]
    images.insert(position, image(swift))
    check(swift, torch.cat(images), nullcontext, position)


@pytest.mark.parametrize("caller", CALLERS)
def test_what_the_caller_has_set_or_done_makes_no_difference(swift, caller):
    check(swift, image(swift), CALLERS[caller])


def test_all_of_it_makes_no_difference(codec):
    @contextmanager
    def everything(codec: Codec) -> Iterator[None]:
        with ExitStack() as stack:
            for name in ("another size", "trained on", "channels_last weights", "three threads", "autocast"):
                stack.enter_context(CALLERS[name](codec))
            yield

    images = torch.cat([image(codec, seed=1), image(codec)])
    check(codec, images.contiguous(memory_format=torch.channels_last), everything, 1)


@pytest.mark.parametrize("name", TINY)
def test_a_decoder_of_the_same_weights_follows_whatever_was_trained(name):
    """After a step no forward pass and no `update` has seen the new weights, and the decoder never saw the old ones."""
    codec = made(name)
    optimizer = torch.optim.Adam([p for p in codec.parameters() if p.requires_grad], lr=0.01)
    output = codec.train()(image(codec))
    (output.x_hat.square().mean() + sum(bits.mean() for bits in output.bits.values()) + codec.aux_loss()).backward()
    optimizer.step()
    compressed = codec.compress(image(codec))
    decoder = lic_exp.create_model(name, seed=1)
    decoder.load_state_dict(codec.state_dict())
    picture = decoder.decompress(replace(compressed, state=None))
    assert torch.equal(picture, codec.reconstruct(compressed))
    assert torch.equal(picture, codec.decompress(replace(compressed, state=None)))


@pytest.mark.parametrize("name", [name for name in TINY if name not in SERIAL])
def test_nobody_calls_update(name):
    """A new codec, one whose weights were replaced with tables of others beside them, and a copy make their own."""
    trained = made(name)
    x, new = image(trained), lic_exp.create_model(name, seed=1)
    for _ in range(2):
        compressed = new.compress(x)
        assert torch.equal(copy.deepcopy(new).decompress(replace(compressed, state=None)), new.reconstruct(compressed))
        spoilt = {key: value + 1 if key.endswith("offset") else value for key, value in trained.state_dict().items()}
        new.load_state_dict(spoilt)
    assert new.compress(x).strings == trained.compress(x).strings


def test_a_compiled_codec_codes_as_one_that_is_not():
    codec, x = made("mean_scale_hyperprior_tiny"), image(made("mean_scale_hyperprior_tiny"))
    expected = codec.reconstruct(codec.compress(x))
    compiled = copy.deepcopy(codec)

    def wrong(*_: object) -> None:
        raise AssertionError("the compiled code ran")

    compiled.compile(backend=lambda graph, inputs: wrong)
    assert torch.equal(compiled.reconstruct(compiled.compress(x)), expected)


def test_whole_numbers_are_no_image():
    with pytest.raises(ValueError, match=r"uint8.*\[0, 1\]"):
        Plugin().compress(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))


class OnGPU(Plugin):
    """What a codec with weights on a GPU looks like, where there is none: its home is said to be another device."""

    codes_on_cpu = True


@pytest.mark.parametrize("name", SERIAL)
def test_codecs_with_a_serial_context_code_on_the_cpu(name):
    codec = lic_exp.create_model(name).to("meta")
    assert next(codec.parameters()).device.type == "meta"
    assert coding.coding_device(codec) == torch.device("cpu")


@pytest.mark.parametrize("name", ["hyperprior_tiny", "dhic_tiny", "hpcm_tiny"])
def test_others_code_where_their_weights_are(name):
    codec = lic_exp.create_model(name).to("meta")
    assert coding.coding_device(codec) == torch.device("meta")


def test_one_that_codes_on_the_cpu_says_so_once(caplog, monkeypatch):
    codec, x = OnGPU().eval(), image(OnGPU())
    expected = codec.reconstruct(codec.compress(x))
    assert not caplog.records
    monkeypatch.setattr(coding, "_home", lambda _: Home())
    monkeypatch.setattr(coding, "_shown", lambda pictures, codec: pictures[0])
    with caplog.at_level(logging.WARNING, "lic_exp.models"):
        for _ in range(2):
            assert torch.equal(codec.decompress(replace(codec.compress(x), state=None)), expected)
    (record,) = caplog.records
    assert record.getMessage().startswith("OnGPU codes on the CPU, not on cuda:0")


class Home:
    """A weight on a GPU."""

    dtype, device = torch.float32, torch.device("cuda:0")
