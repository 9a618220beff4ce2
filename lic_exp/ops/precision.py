"""Arithmetic modes, and the dtypes of what is computed in them."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from lic_exp.private_compiler import has_loaded_compiler

ATTENTION = [
    *(SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION),
    *(SDPBackend.CUDNN_ATTENTION, SDPBackend.MATH),
]
"""All that torch chooses from unless told otherwise."""


def autocast_dtype(device: torch.device) -> torch.dtype | None:
    """What autocast converts to on this device; None where it does not."""
    kind = device.type
    on = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    return torch.get_autocast_dtype(kind) if on else None


def widened(x: Tensor) -> Tensor:
    """The same in float32, where autocast made less of it; float64 stays."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


@contextmanager
def exact_float32() -> Iterator[None]:
    """Inside, float32 means float32: no autocast, no TF32 or bfloat16 in matrix products or convolutions."""
    with ExitStack() as stack:
        for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
            stack.enter_context(torch.autocast(device, enabled=False))
        stack.enter_context(_matmul_precision_of("highest", "ieee"))
        stack.enter_context(_exact_convolutions())
        yield


@contextmanager
def products_as_convolutions(device: torch.device) -> Iterator[None]:
    """Inside, float32 matrix products of a GPU may use TF32 where its convolutions do, which are a codec's work."""
    tf32 = device.type == "cuda" and _convolution_precision() == "tf32"
    with _matmul_precision_of("high", "tf32") if tf32 else nullcontext():
        yield


@contextmanager
def repeatable_kernels() -> Iterator[None]:
    """No algorithm search: encoder and decoder must compute the same entropy parameters to the last bit."""
    with _set(torch.backends.cudnn, "benchmark", False), _set(torch.backends.cudnn, "deterministic", True):
        yield


@contextmanager
def one_arithmetic() -> Iterator[None]:
    """Inside, what an operation computes depends on its operands and the machine, not on what a caller has set.

    Besides `exact_float32` and `repeatable_kernels`: no gradients and no inference mode, float32 and the CPU for
    tensors that name neither, torch's usual kernels, and one thread, since more of them sum in another order. All is
    put back afterwards.
    """
    threads = torch.get_num_threads()
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        stack.enter_context(exact_float32())
        stack.enter_context(repeatable_kernels())
        stack.enter_context(_set(torch.backends.mkldnn, "enabled", True))
        stack.enter_context(sdpa_kernel(ATTENTION))
        stack.enter_context(default_dtype(torch.float32))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        try:
            torch.set_num_threads(1)
            yield
        finally:
            torch.set_num_threads(threads)


def uncompiled() -> AbstractContextManager[Any]:
    """Inside, compiled modules, if there can be any, run as they were written."""
    if not has_loaded_compiler():
        return nullcontext()
    eager: AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
    return eager


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Inside, tensors of floating-point numbers that name no dtype have this one."""
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(dtype)
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def _set(place: Any, name: str, value: object) -> Iterator[None]:
    """A setting of torch's, put back afterwards."""
    before = getattr(place, name)
    try:
        setattr(place, name, value)
        yield
    finally:
        setattr(place, name, before)


def switches(device: str) -> dict[str, bool | str]:
    """What is set of torch that decides the bits of what a device of this type computes, by its name in records."""
    found: dict[str, bool | str] = {
        "matmul": _matmul_precision(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }
    if device != "cuda":
        return found | {"mkldnn": bool(torch.backends.mkldnn.enabled)}
    cudnn = torch.backends.cudnn
    return found | {
        "convolutions": _convolution_precision(),
        "cudnn_deterministic": bool(cudnn.deterministic),
        "cudnn_benchmark": bool(cudnn.benchmark),
    }


# Since torch 2.9 precision is told by backend and kind of operation. The former, common settings can be neither read
# nor written where a caller has set the kinds differently.


@contextmanager
def _exact_convolutions() -> Iterator[None]:
    cudnn = torch.backends.cudnn
    with ExitStack() as stack:
        with suppress(RuntimeError):
            stack.enter_context(_set(cudnn, "allow_tf32", False))
        for kind in _kinds((torch.backends.mkldnn, "conv"), (cudnn, "conv"), (cudnn, "rnn")):
            if kind.fp32_precision not in ("none", "ieee"):
                stack.enter_context(_set(kind, "fp32_precision", "ieee"))
        yield


@contextmanager
def _matmul_precision_of(all_kinds: str, each: str) -> Iterator[None]:
    """Inside, float32 matrix products have this precision: by the name of the common setting, and of those by kind."""
    kinds = _kinds((torch.backends.mkldnn, "matmul"), (torch.backends.cuda, "matmul"))
    before = [kind.fp32_precision for kind in kinds]
    try:
        common = torch.get_float32_matmul_precision()
    except RuntimeError:
        common = None
    try:
        if common:
            torch.set_float32_matmul_precision(all_kinds)  # writes the kinds too
        else:
            for kind in kinds:
                kind.fp32_precision = each
        yield
    finally:
        if common:
            torch.set_float32_matmul_precision(common)
        for kind, value in zip(kinds, before, strict=True):
            kind.fp32_precision = value


def _matmul_precision() -> str:
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return _listed((torch.backends.mkldnn, "matmul"), (torch.backends.cuda, "matmul"))


def _convolution_precision() -> str:
    try:
        return "tf32" if torch.backends.cudnn.allow_tf32 else "ieee"
    except RuntimeError:
        return _listed((torch.backends.cudnn, "conv"), (torch.backends.cudnn, "rnn"))


def _listed(*places: tuple[Any, str]) -> str:
    return ", ".join(str(kind.fp32_precision) for kind in _kinds(*places))


def _kinds(*places: tuple[Any, str]) -> list[Any]:
    """Those of the kinds of operations, (backend, name), that have a precision of their own."""
    found = (getattr(backend, name, None) for backend, name in places)
    return [kind for kind in found if hasattr(kind, "fp32_precision")]
