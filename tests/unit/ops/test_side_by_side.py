"""Parts on several threads: computed as one thread would, and nothing of them left behind."""

import threading
from functools import partial

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import lic_exp
from lic_exp.ops.precision import one_arithmetic
from lic_exp.ops.side_by_side import helpers, side_by_side


class Counted(TorchDispatchMode):
    products = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        self.products += "addmm" in str(function)
        return function(*arguments, **(options or {}))


@pytest.fixture(scope="module")
def hpcm():
    torch.manual_seed(0)
    codec = lic_exp.create_model("hpcm_tiny").eval()
    with torch.no_grad():
        codec.g_a.branch[0].weight.mul_(10)
    codec.update()
    return codec, torch.rand(1, 3, 256, 512, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def threads_of():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def seen_by_parts(threads: int, parts: int) -> list[tuple[str, int, bool]]:
    """Of each part its thread, torch's number of threads there, and whether gradients were on."""
    seen = []
    meet = threading.Barrier(min(threads, parts))

    def part() -> None:
        if threads > 1 and parts > 1:
            meet.wait(20)
        seen.append((threading.current_thread().name, torch.get_num_threads(), torch.is_grad_enabled()))

    with side_by_side(threads), one_arithmetic():
        helping = helpers()
        assert helping is not None
        helping.run([part] * parts)
    return seen


@pytest.mark.parametrize(("threads", "parts"), [(2, 2), (3, 6), (4, 4)])
def test_each_thread_computes_as_one_alone_does(threads, parts, threads_of):
    threads_of(2)
    seen = seen_by_parts(threads, parts)
    assert len({name for name, *_ in seen}) > 1
    assert {(count, gradients) for _, count, gradients in seen} == {(1, False)}
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("side_by_side")]
    assert torch.get_num_threads() == 2
    assert helpers() is None


@pytest.mark.parametrize(("threads", "parts"), [(1, 5), (4, 1), (4, 0)])
def test_what_one_can_do_is_done_here(threads, parts):
    assert {name for name, *_ in seen_by_parts(threads, parts)} <= {threading.current_thread().name}


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_of_a_part_is_raised_and_no_thread_stays(threads):
    def part(number: int) -> None:
        if number == 2:
            raise ZeroDivisionError(number)

    def run() -> None:
        with side_by_side(threads):
            helping = helpers()
            assert helping is not None
            helping.run([partial(part, number) for number in range(5)])

    with pytest.raises(ZeroDivisionError, match="2"):
        run()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("side_by_side")]


def test_hpcm_codes_the_same_for_any_number_of_threads(hpcm, threads_of):
    codec, x = hpcm
    found = []
    for threads in (1, 2, 5):
        threads_of(threads)
        compressed = codec.compress(x)
        found.append((compressed.strings, codec.decompress(compressed)))
    for strings, shown in found[1:]:
        assert strings == found[0][0]
        assert torch.equal(shown, found[0][1])


def test_hpcm_shares_its_products_and_a_mode_still_sees_all(hpcm, threads_of, monkeypatch):
    codec, x = hpcm
    threads_of(2)
    names = set()
    own = torch.addmm

    def noted(*arguments, **options):
        names.add(threading.current_thread().name.rsplit("_", 1)[0])
        return own(*arguments, **options)

    monkeypatch.setattr(torch, "addmm", noted)
    codec.compress(x)
    assert "side_by_side" in names
    names.clear()
    with Counted() as counted:
        codec.compress(x)
    assert names == {threading.current_thread().name}
    assert counted.products
