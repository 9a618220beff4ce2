"""HPCM-Base on a CPU against a plain rendering of its specification (`measuring.hpcm_plain`).

    python benchmarks/hpcm.py --pairs 5 --threads 2

Prints Markdown: forward passes and decoding of an image, training steps (forward, backward, clipping, Adam), what a
step adds to the process's memory, the operators of a forward pass that look at values, and where its time goes. Plain:
activations make new tensors; in place: they do not. Each block times every way once, in an order that rotates; ratios
of CPU seconds are formed within a block, and their median is reported with a bootstrap 95 % interval. All ways are
checked to give one result.
"""

import argparse
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from measuring import machine, median_interval
from measuring.hpcm_plain import PlainHPCM
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

import lic_exp
from lic_exp.models.base import CodecOutput
from lic_exp.models.compressai_coding import StepwiseDecoder, Tables, encode
from lic_exp.models.hpcm.codec import HPCM

HEADS, WINDOWS = 32, [4, 8, 8]
WAYS = ("plain", "in place", "ours")
LMBDA = 0.013
LOOKING = ("aten::nonzero", "aten::masked_select", "aten::index", "aten::index_put_", "aten::_index_put_impl_")


def picture(batch: int, height: int, width: int) -> Tensor:
    """Smooth noise in [0, 1]."""
    coarse = torch.rand(batch, 3, height // 16, width // 16, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(coarse, scale_factor=16, mode="bilinear")


def made() -> HPCM:
    """HPCM-Base as released, with weights under which many symbols are not 0."""
    torch.manual_seed(0)
    codec = lic_exp.create_model("hpcm_base", compat=True)
    with torch.no_grad():
        codec.g_a.branch[0].weight.mul_(30)
    codec.update()
    return codec


def plainly(codec: HPCM, way: str) -> PlainHPCM:
    """The plain rendering of the codec's own parameters."""
    weights = dict(codec.named_parameters())
    return PlainHPCM(weights, HEADS, WINDOWS, compat=True, training=codec.training, inplace=way == "in place")


def forward(codec: HPCM, x: Tensor, way: str) -> Callable[[], Tensor]:
    if way == "ours":
        return lambda: codec(x).x_hat
    return lambda: plainly(codec, way).forward(x).x_hat


def decoding(codec: HPCM, x: Tensor, way: str) -> Callable[[], Tensor]:
    """Each decodes what it has encoded: rounding differs, and with it now and then a table's row."""
    if way == "ours":
        compressed = codec.compress(x)
        return lambda: codec.decompress(compressed)
    plain, table = plainly(codec, way), codec.scale_table
    y_tables = Tables(codec.quantized_cdf_y, codec.cdf_length_y, codec.offset_y)
    z_tables = Tables(codec.quantized_cdf_z, codec.cdf_length_z, codec.offset_z)
    symbols, rows, z_hat = plain.encode(x, table)
    channels = torch.arange(z_hat.shape[1])[:, None, None].expand(z_hat.shape)
    y_string = encode(symbols, rows, y_tables)
    z_string = encode((z_hat - codec.means_hyper).round(), channels, z_tables)

    def decode() -> Tensor:
        z = StepwiseDecoder(z_string, z_tables, z_hat.numel()).decode(channels) + codec.means_hyper
        return plain.decode(StepwiseDecoder(y_string, y_tables, len(symbols)).decode, z, table)

    return decode


def training(codec: HPCM, x: Tensor, way: str) -> Callable[[], Tensor]:
    optimizer = torch.optim.Adam(codec.parameters(), lr=0.0)

    def step() -> Tensor:
        torch.manual_seed(0)
        optimizer.zero_grad()
        if way == "ours":
            output: CodecOutput = codec(x)
            x_hat, bits = output.x_hat, output.bits["y"].sum() + output.bits["z"].sum()
        else:
            plain = plainly(codec, way).forward(x)
            x_hat, bits = plain.x_hat, -plain.y_likelihood.log2().sum() - plain.z_likelihood.log2().sum()
        loss = LMBDA * 255**2 * (x_hat - x).square().mean() + bits / x[:, 0].numel()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(codec.parameters(), 1.0)
        optimizer.step()
        return loss.detach()

    return step


def measure(actions: Sequence[Callable[[], Tensor]], pairs: int) -> np.ndarray:
    """CPU and wall seconds (pairs, ways, 2), after a round that is not timed and must agree.

    In float32 a symbol here and there falls on the other side of a rounding, and with it what is predicted from it.
    """
    results = [action() for action in actions]
    for result in results:
        difference = (result - results[-1]).abs().mean().item()
        assert difference < 1e-2 * results[-1].abs().mean().item(), difference
    times = np.empty((pairs, len(actions), 2))
    for block in range(pairs):
        for turn in range(len(actions)):
            column = (block + turn) % len(actions)
            begun, wall = time.process_time(), time.perf_counter()
            actions[column]()
            times[block, column] = time.process_time() - begun, time.perf_counter() - wall
    return times


def show(what: str, times: np.ndarray, ways: Sequence[str]) -> None:
    for column, way in enumerate(ways):
        cpu, wall = np.median(times[:, column], axis=0)
        ratio, low, high = median_interval(times[:, column, 0] / times[:, -1, 0])
        print(f"| {what} | {way} | {cpu:.2f} | {wall:.2f} | {ratio:.2f}x | {low:.2f} to {high:.2f} |", flush=True)


def timings(options: argparse.Namespace) -> None:
    print("| what | way | CPU [s] | wall [s] | way / ours, CPU | 95 % interval |")
    print("|---|---|---|---|---|---|")
    codec = made().eval()
    height, width = options.size
    x = picture(1, height, width)
    with torch.no_grad():
        for what, action in (("forward", forward), ("decode", decoding)):
            if what in options.what:
                times = measure([action(codec, x, way) for way in WAYS], options.pairs)
                show(f"{what}, {width}x{height}", times, WAYS)
    if "step" in options.what:
        codec.train()
        x = picture(2, 256, 256)
        show("step, 2 x 256x256", measure([training(codec, x, way) for way in WAYS], options.pairs), WAYS)


def resident_mib() -> float:
    """What of this process's memory is in use now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def memory_of(way: str) -> None:
    """Print what three training steps add to this process's memory at most [MiB]."""
    codec, x = made().train(), picture(2, 256, 256)
    step = training(codec, x, way)
    before = most = resident_mib()
    done = threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.002):
            most = max(most, resident_mib())

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(3):
        step()
    done.set()
    watcher.join()
    print(most - before)


def memory(threads: int) -> None:
    command = [sys.executable, __file__, "--threads", str(threads), "--memory-of"]
    grown = [float(subprocess.check_output([*command, way], text=True)) for way in WAYS]
    print("\n| way | growth of three training steps [MiB] | ours / way |\n|---|---|---|")
    for way, own in zip(WAYS, grown, strict=True):
        print(f"| {way} | {own:.0f} | {grown[-1] / own:.2f} |")


@torch.no_grad()
def operators(options: argparse.Namespace) -> None:
    """What looks at values, and what takes the time of ours."""
    codec, x = made().eval(), picture(1, *options.size)
    print("\n| way | " + " | ".join(f"`{name}`" for name in LOOKING) + " |\n|---|" + "---|" * len(LOOKING))
    for way in ("plain", "ours"):
        action = forward(codec, x, way)
        action()
        with profile(activities=[ProfilerActivity.CPU]) as found:
            action()
        calls = {event.key: event.count for event in found.key_averages()}
        print(f"| {way} | " + " | ".join(str(calls.get(name, 0)) for name in LOOKING) + " |")
    events = sorted(found.key_averages(), key=lambda event: -event.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in events)
    print("\n| operator of ours | calls | share of the time [%] |\n|---|---|---|")
    for event in events[:10]:
        print(f"| `{event.key}` | {event.count} | {100 * event.self_cpu_time_total / total:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5, help="interleaved blocks (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="torch threads (default: %(default)s)")
    parser.add_argument("--size", type=int, nargs=2, default=(512, 768), metavar=("HEIGHT", "WIDTH"))
    parts = ["forward", "decode", "step", "memory", "operators"]
    parser.add_argument("--what", nargs="+", default=parts, choices=parts, help="default: all")
    parser.add_argument("--memory-of", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.memory_of:
        memory_of(options.memory_of)
        return
    print(f"{machine()}, {options.threads} threads, torch {torch.__version__}; {options.pairs} blocks\n")
    if {"forward", "decode", "step"} & set(options.what):
        timings(options)
    if "memory" in options.what:
        memory(options.threads)
    if "operators" in options.what:
        operators(options)


if __name__ == "__main__":
    main()
