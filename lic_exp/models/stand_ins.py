"""Plain data that people save beside tensors, read without the code that it belongs to: an allow-list.

In place of each such object stands one that holds nothing and does nothing, so neither the class nor its package is
needed, and none of its code runs. What is not in the list is refused (`lic_exp.models.files`).
"""

from collections.abc import Callable
from typing import Any


class StandIn:
    """In place of an object that is passed over. kind: the dotted name of its class."""

    kind = ""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


class _Mapping:
    """In place of a class of dictionaries: makes a plain one, whose entries are read."""

    def __new__(cls, *arguments: Any) -> Any:
        return {}


class _List:
    """In place of a class of lists: makes a plain one."""

    def __new__(cls, *arguments: Any) -> Any:
        return []


PATHS = ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")
NUMPY = ("multiarray.scalar", "multiarray._reconstruct", "numeric._frombuffer")
NUMPY_TYPES = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool_", "str_")
OMEGACONF = ("AnyNode", "StringNode", "IntegerNode", "FloatNode", "BooleanNode", "BytesNode", "PathNode", "EnumNode")

PASSED_OVER = (
    *("argparse.Namespace", "types.SimpleNamespace", "easydict.EasyDict"),
    *(f"{module}.{name}" for module in ("pathlib", "pathlib._local") for name in PATHS),
    *(f"numpy.{core}.{name}" for core in ("core", "_core") for name in NUMPY),  # NumPy 1 and 2
    *("numpy.ndarray", "numpy.dtype"),
    *(f"numpy.{name}" for name in NUMPY_TYPES),
    *(f"datetime.{name}" for name in ("date", "datetime", "time", "timedelta", "timezone")),
    *("decimal.Decimal", "fractions.Fraction", "uuid.UUID"),
    *("builtins.frozenset", "builtins.slice", "builtins.range", "builtins.object"),
    *(f"builtins.{name}" for name in ("bool", "bytes", "dict", "float", "int", "list", "str", "tuple")),
    *("torch.torch_version.TorchVersion", "typing.Any", "typing.Dict", "typing.List"),
    *("omegaconf.dictconfig.DictConfig", "omegaconf.listconfig.ListConfig"),
    *("omegaconf.base.Metadata", "omegaconf.base.ContainerMetadata"),
    *(f"omegaconf.nodes.{name}" for name in OMEGACONF),
)
ATTRIBUTES = ("pytorch_lightning.utilities.parsing", "lightning.pytorch.utilities.parsing")
FABRIC = ("lightning_fabric.utilities.data", "lightning.fabric.utilities.data")
MAPPINGS = (
    *("collections.defaultdict", "addict.addict.Dict"),
    *(f"{module}.AttributeDict" for module in (*ATTRIBUTES, *FABRIC)),
)
LISTS = ("collections.deque",)
ALLOWED = frozenset((*PASSED_OVER, *MAPPINGS, *LISTS))


def stand_ins() -> list[tuple[Callable[..., Any], str]]:
    """What `torch.serialization.safe_globals` takes: new ones each time, as it forgets them when one reader ends."""
    return [
        *((type("StandIn", (StandIn,), {"kind": name}), name) for name in PASSED_OVER),
        *((type("Mapping", (_Mapping,), {}), name) for name in MAPPINGS),
        *((type("List", (_List,), {}), name) for name in LISTS),
    ]


MADE_BY = {"_reconstruct": "numpy.ndarray", "_frombuffer": "numpy.ndarray", "scalar": "numpy scalar"}
"""What the functions of NumPy make that stand in a file in place of a class."""


def kind_of(value: object) -> str:
    """The dotted name of an object's class, also of one that was passed over."""
    if isinstance(value, StandIn):
        return MADE_BY.get(value.kind.rpartition(".")[2], value.kind)
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
