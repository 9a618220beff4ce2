"""An experiment platform for learned image compression.

The command line's words from Python, with nothing heavy imported before it is needed:

    import lic_exp
    lic_exp.list_models()
    codec = lic_exp.create_model("hyperprior", N=64)
    run = lic_exp.run(["model=hyperprior_tiny", "optimizer.lr=3e-4"])
    run.metrics, run.evaluation
    data = lic_exp.encode_image(picture, run.codec())
    data = lic_exp.encode_image(picture, lic_exp.load_pretrained("box"))
    sweep = lic_exp.sweep(["seed=0,1,2", "spectral_reg=none,intra"], slots=2)
    sweep.status()
"""

from typing import TYPE_CHECKING, Any

from lic_exp import release

if TYPE_CHECKING:
    from lic_exp.api import (
        complexity,
        create_model,
        create_regularizer,
        decode_image,
        encode_image,
        find_run,
        list_models,
        list_regularizers,
        list_runs,
        list_sweeps,
        load_config,
        load_pretrained,
        plan,
        run,
        search,
        signature,
        sweep,
    )

__all__ = [
    "complexity",
    "create_model",
    "create_regularizer",
    "decode_image",
    "encode_image",
    "find_run",
    "list_models",
    "list_regularizers",
    "list_runs",
    "list_sweeps",
    "load_config",
    "load_pretrained",
    "plan",
    "run",
    "search",
    "signature",
    "sweep",
]
__version__ = release.VERSION


def __getattr__(name: str) -> Any:
    if name in __all__:
        from lic_exp import api

        return getattr(api, name)
    raise AttributeError(f"module 'lic_exp' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
