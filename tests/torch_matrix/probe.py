"""What every small model does on the torch that is here: capture, forward and backward, exact coding, exact resume.

    python tests/torch_matrix/probe.py [MODEL ...]

Prints one line for each model, and ends with 1 where anything did not work.
"""

import argparse
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1] / "end_to_end"))
import killing

import lic_exp
from lic_exp.config.options import options
from lic_exp.models.base import Codec


def loss(codec: Codec, x: Tensor) -> Tensor:
    output = codec(x)
    bits = sum(amounts.sum() for amounts in output.bits.values())
    return bits / x.shape[0] + (output.x_hat - x).square().mean()


def gradients(codec: Codec, compute: Callable[[Codec, Tensor], Tensor]) -> list[Tensor]:
    """Of a fixed batch, with fixed noise."""
    torch.manual_seed(0)
    side = codec.facts.downsampling_factor
    x = torch.rand(2, 3, 2 * side, side, generator=torch.Generator().manual_seed(1))
    codec.train().zero_grad()
    compute(codec, x).backward()  # type: ignore[no-untyped-call]
    found = [parameter.grad.clone() for parameter in codec.parameters() if parameter.grad is not None]
    assert found, "no parameter has a gradient"
    assert all(gradient.isfinite().all() for gradient in found), "a gradient is not finite"
    return found


def eager(name: str) -> None:
    gradients(lic_exp.create_model(name), loss)


def captured(name: str) -> None:
    """Forward, loss and backward as one graph each, whose gradients are those of eager mode."""
    codec = lic_exp.create_model(name)
    torch.compiler.reset()
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    for here, there in zip(gradients(codec, loss), gradients(codec, compiled), strict=True):
        torch.testing.assert_close(there, here, rtol=1e-3, atol=1e-5)


def coded(name: str) -> None:
    codec = lic_exp.create_model(name).eval()
    side = codec.facts.downsampling_factor
    x = torch.rand(1, 3, side, 2 * side, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        codec.update()
        compressed = codec.compress(x)
        again = codec.decompress(compressed)
        assert codec.compress(x).strings == compressed.strings, "other strings the second time"
    assert torch.equal(again, codec.decompress(compressed)), "another picture the second time"


def resumed(name: str) -> None:
    overrides = [f"model={name}", *killing.ONE_STAGE]
    with tempfile.TemporaryDirectory() as place:
        reference = killing.finish(Path(place) / "reference", overrides)
        killing.trial(Path(place) / "stopped", reference, overrides, signal.SIGUSR2, 0)


TRIED = {"eager": eager, "captured": captured, "coded": coded, "resumed": resumed}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", help="all that end in _tiny, if none is named")
    names = parser.parse_args().models or [name for name in options("model") if name.endswith("_tiny")]
    print(f"Python {sys.version.split()[0]}, torch {torch.__version__}, numpy {np.__version__}")
    failed = 0
    for name in names:
        told = []
        for what, attempt in TRIED.items():
            try:
                attempt(name)
            except Exception as error:  # noqa: BLE001 (whatever a version of torch may raise is its row's result)
                failed += 1
                traceback.print_exc()
                told.append(f"{what} FAILED ({type(error).__name__})")
            else:
                told.append(f"{what} ok")
        print(f"{name:32} {'  '.join(told)}", flush=True)
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
