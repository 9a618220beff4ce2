"""What torch does not promise to keep, each use once, with the reason for it; `lic_exp.private_interfaces` likewise.

What its compiler does not promise stands in `lic_exp.private_compiler`.

torch is imported where it is used, so that nothing pays for it at start-up.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def shut_down_workers(iterator: object) -> None:
    """End the worker processes of a DataLoader's iterator, if it has any, and wait for them.

    Why: it is what the iterator's `__del__` does, and there is no public way; but a traceback may keep the iterator,
    and so its workers, alive.
    """
    shut_down = getattr(iterator, "_shutdown_workers", None)
    if shut_down is not None:
        shut_down()


def without_values() -> AbstractContextManager[Any]:
    """A mode in which tensors are made that have shapes but no values, and pass for tensors on their device.

    Why: the public meta device, which has no values either, is seen by the code that is counted, and takes no tensors
    of the CPU beside it.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    return FakeTensorMode(allow_non_fake_inputs=True)


def is_watched() -> bool:
    """Whether a dispatch mode sees, or changes, what is computed here.

    Why: it does so in the thread alone that has entered it, and nothing public tells of it.
    """
    from torch.utils._python_dispatch import _get_current_dispatch_mode

    return _get_current_dispatch_mode() is not None


def mode_of(tensor: "Tensor") -> AbstractContextManager[Any] | None:
    """The `without_values` that a tensor was made in, None for any other tensor.

    Why: tensors of two such modes do not mix.
    """
    from torch._subclasses.fake_tensor import FakeTensor

    return tensor.fake_mode if isinstance(tensor, FakeTensor) else None


def times_written(tensor: "Tensor") -> int:
    """A number that grows whenever a tensor is written to; 0 where torch does not count.

    Why: comparing values would take longer than what is saved by it, and nothing public tells.
    """
    return 0 if tensor.is_inference() else int(tensor._version)


def watched(see: "Callable[[list[Tensor], torch.dtype | None, bool], None]") -> AbstractContextManager[Any]:
    """Inside, `see` is told of each operation of torch's before it is made, below autograd and autocast.

    Told are the tensors among its arguments; the numbers that it copies the only one in, None for other operations;
    and whether it only looks at memory in another way.

    Why: hooks of modules do not see what is done with weights, and the public ways to override functions are above
    autocast.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
            options = options or {}
            given = [one for one in tree_leaves((arguments, options)) if isinstance(one, torch.Tensor)]
            cast_to = options.get("dtype") if function is torch.ops.aten._to_copy.default else None
            kinds = [one.alias_info for one in function._schema.returns]
            see(given, cast_to, any(kind is not None and not kind.is_write for kind in kinds))
            return function(*arguments, **options)

    return Watch()


def weights_by_module(module: "torch.nn.Module") -> "list[dict[str, torch.nn.Parameter | None]]":
    """Where each module inside looks for its own weights, by name; shared ones stand in several.

    Why: setting an attribute checks and registers, and `torch.func.functional_call` finds each module by its name,
    which takes longer than what is computed with the weights.
    """
    return [one._parameters for one in module.modules()]


def copy_all(places: "Sequence[Tensor]", values: "Sequence[Tensor]") -> None:
    """Write values into places: by one kernel for all of the same numbers that lie in memory as their places do.

    Why: the public way is a kernel each.
    """
    import torch

    alike: dict[Any, list[tuple[Tensor, Tensor]]] = {}
    for place, value in zip(places, values, strict=True):
        sides = zip(place.shape, place.stride(), value.stride(), strict=True)
        if place.shape == value.shape and all(own == other for side, own, other in sides if side != 1):
            # A stride along a side of 1 says nothing, but the kernel is not chosen where two differ.
            same = value if place.stride() == value.stride() else value.as_strided(place.shape, place.stride())
            alike.setdefault((place.dtype, value.dtype), []).append((place, same))
        else:
            place.copy_(value)
    for pairs in alike.values():
        torch._foreach_copy_([place for place, _ in pairs], [value for _, value in pairs])


def pass_for_parameters(tensors: "Sequence[Tensor]") -> None:
    """Make `isinstance(tensor, torch.nn.Parameter)` true, and with it `Module.get_parameter`.

    Why: a parameter proper is a leaf, which what it was made of gets no gradient through.
    """
    for tensor in tensors:
        tensor._is_param = True  # type: ignore[attr-defined]


def approach_all(places: "Sequence[Tensor]", values: "Sequence[Tensor]", share: "Tensor") -> None:
    """Bring places so far towards values, a share in [0, 1] that is a scalar beside them; 0 leaves finite ones equal.

    Why: the public way is a kernel each, and the one for all takes no tensor for a share.
    """
    import torch

    own = list(places)
    moves = torch._foreach_sub(list(values), own)
    torch._foreach_mul_(moves, share.to(moves[0].dtype))
    torch._foreach_add_(own, list(moves))


def abandon_capture(pool: Any) -> None:
    """Undo what a capture on the current CUDA device leaves behind when it fails. pool: where its memory came from.

    Why: the allocator goes on as if in the capture, so that what several streams have used is never given back, and
    the generators refuse to draw; no documentation says how to get out.
    """
    import torch

    inside: Any = torch._C
    end = getattr(inside, "_cuda_endAllocateToPool", None) or inside._cuda_endAllocateCurrentStreamToPool  # before 2.8
    try:
        with suppress(RuntimeError):  # it got so far as to leave the pool, and only its end failed
            end(torch.cuda.current_device(), pool)
            inside._cuda_releasePool(torch.cuda.current_device(), pool)
    finally:
        for generator in torch.cuda.default_generators:
            generator.graphsafe_set_state(torch.Generator(generator.device).graphsafe_get_state())


def can_skip_on_device(optimizer: "torch.optim.Optimizer") -> bool:
    """Whether `step_unless` works.

    Why: only fused kernels do, and nothing public says which optimizers have them.
    """
    return bool(getattr(optimizer, "_step_supports_amp_scaling", False))


def step_unless(optimizer: Any, skip: "Tensor") -> None:
    """A step that the kernel drops where `skip`, a bool scalar on the device, is true.

    Why: only GradScaler may ask for it, by attributes that no documentation has; the public way stops the device's
    queue to look at the value.
    """
    _begin_momenta(optimizer)
    optimizer.grad_scale, optimizer.found_inf = None, skip.float()
    try:
        optimizer.step()
    finally:
        del optimizer.grad_scale, optimizer.found_inf


def _begin_momenta(optimizer: Any) -> None:
    """Zeros for SGD's momenta that are not there yet, which without dampening begin as the first gradient either way.

    Why: where its kernel drops the first step, torch keeps what memory held before as momenta; nothing public makes
    them.
    """
    import torch

    if not isinstance(optimizer, torch.optim.SGD):
        return
    for group in optimizer.param_groups:
        if group["momentum"] == 0 or group["dampening"] != 0:
            continue
        for weight in group["params"]:
            if weight.grad is not None and optimizer.state[weight].get("momentum_buffer") is None:
                optimizer.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
