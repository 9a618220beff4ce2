"""What torch's compiler does not promise to keep, each use once, with the reason for it.

torch is imported where it is used, and its compiler where something is compiled, so that nothing else pays for them.
"""

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from lic_exp.text import shortened

if TYPE_CHECKING:
    import torch

Function = TypeVar("Function", bound=Callable[..., Any])

COMPILER = "torch._dynamo"

MOST_SHOWN = 300
"""Characters of what a compiler says."""


def is_compiled(module: "torch.nn.Module") -> bool:
    """Whether `Module.compile` was called on it.

    Why: nothing public tells.
    """
    return module._compiled_call_impl is not None


def has_loaded_compiler() -> bool:
    """Whether anything can be compiled: torch loads its compiler when it is first asked for.

    Why: that takes a second, and all that asks the compiler a question loads it.
    """
    return not isinstance(sys.modules.get(COMPILER), _NotLoaded | None)


def compiled_as_constant(function: Function) -> Function:
    """Where it is called in what is compiled, what it returns then is taken for a constant.

    Why: the public decorator loads the compiler, which only puts this mark.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


def left_uncompiled(function: Function, *arguments: Any, **options: Any) -> Function:
    """Where it is called in what is compiled, it runs as it is written: `torch.compiler.disable` of these.

    Why: that loads the compiler, whether anything is compiled or not.
    """
    known: Callable[..., Any] | None = None

    @wraps(function)
    def called(*given: Any, **named: Any) -> Any:
        nonlocal known
        if known is None and has_loaded_compiler():
            known = importlib.import_module(COMPILER).disable(function, *arguments, **options)
        return (known or function)(*given, **named)

    return called  # type: ignore[return-value]


@contextmanager
def compiler_not_loaded() -> Iterator[None]:
    """Inside, torch's own optimizers are made, step and are saved without its compiler, if that is not loaded yet.

    Why: they load it only to tell it that they are not to be compiled, and to break graphs that nobody traces.
    """
    import torch

    if COMPILER in sys.modules:
        yield
        return
    stand_in = _NotLoaded(COMPILER)
    sys.modules[COMPILER] = vars(torch)["_dynamo"] = stand_in
    try:
        yield
    finally:
        stand_in.leave()


class _NotLoaded(ModuleType):
    """Does what torch's optimizers ask of the compiler; asked for more, it makes room for the compiler itself."""

    def disable(self, function: Function, *arguments: Any, **options: Any) -> Function:
        return left_uncompiled(function, *arguments, **options)

    def graph_break(self, *_: Any, **__: Any) -> None:
        pass

    def leave(self) -> None:
        import torch

        if sys.modules.get(COMPILER) is self:
            del sys.modules[COMPILER]
        if vars(torch).get("_dynamo") is self:
            del vars(torch)["_dynamo"]

    def __getattr__(self, name: str) -> Any:
        self.leave()
        return getattr(importlib.import_module(COMPILER), name)


def known_settings(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the settings for torch's compiler that it has; the others cost speed and nothing else.

    Why: their names come and go with versions, and `torch.compile` refuses one that it does not know.
    """
    import torch._inductor

    known = torch._inductor.list_options()
    return {name: value for name, value in wanted.items() if name in known}


def graph_pass(change: "Callable[[torch.fx.Graph], None]") -> Any:
    """A function that changes graphs, as torch's compiler takes it; it is one with the files that it stands in.

    Why: what was compiled is kept for other processes only where a pass says what it is, by a class without promises.
    """
    from torch._inductor.custom_graph_pass import CustomGraphPass, get_hash_for_files

    class Pass(CustomGraphPass):
        def __call__(self, graph: "torch.fx.Graph") -> None:
            change(graph)

        def uuid(self) -> bytes:
            return get_hash_for_files((change.__code__.co_filename, __file__))

    return Pass()


def sort_graph(graph: "torch.fx.Graph") -> None:
    """Put each node of a graph behind those that it needs, and leave the others where they are.

    Why: the public way, `legalize_graph`, puts every node elsewhere, and with it the peak of memory.
    """
    from torch._inductor.pattern_matcher import stable_topological_sort

    stable_topological_sort(graph)


def compiler_failure(error: BaseException) -> str | None:
    """The first error of what torch's compiler could not make code of, a line; None for any other error.

    Why: its classes of errors are not public, and their messages hold all that the C++ compiler wrote.
    """
    errors = sys.modules.get(f"{COMPILER}.exc")
    if errors is None or not isinstance(error, errors.BackendCompilerFailed):
        return None
    inner = getattr(error, "inner_exception", None) or error
    lines = [line.strip() for line in str(inner).splitlines() if line.strip()]
    told = next((line for line in lines if "error:" in line), lines[0] if lines else "")
    return f"{type(inner).__name__}: {shortened(told, MOST_SHOWN)}"


def allow_graphs(count: int) -> None:
    """Let one function be compiled so many times, for blocks of other sizes, before the compiler gives it up.

    Why: it does at eight, silently, and the setting stands among those that may change.
    """
    import torch._dynamo.config as settings

    # torch 2.6 has no other name for it, and later ones keep this one.
    settings.cache_size_limit = max(settings.cache_size_limit, count)
