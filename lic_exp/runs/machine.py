"""Whether this machine has what runs need, and what it has besides: one check per thing, each with its finding."""

import fcntl
import importlib
import os
import shutil
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from lic_exp.processes import usable_cores
from lic_exp.runs.findings import Finding, ok, problem, warning
from lic_exp.runs.machine_places import check_clock, check_git, check_leftovers, check_limits, check_store
from lic_exp.text import first_line, size_text

LEAST_TORCH = (2, 6)
LITTLE_DISK, TOO_LITTLE_DISK, LITTLE_FILES = 5e9, 2e8, 10_000
NMS_MISMATCH = "operator torchvision::nms does not exist"


def checks(runs: Path) -> dict[str, Callable[[], Finding]]:
    """The checks by name, in the order of the table."""
    place = _existing(runs)
    return {
        "python": check_python,
        "torch": check_torch,
        "torchvision": check_torchvision,
        "CUDA": check_cuda,
        "bf16": check_bf16,
        "threads": check_threads,
        "compiler": check_compiler,
        "compressai": check_compressai,
        "mlflow": check_mlflow,
        "store": lambda: check_store(runs / "mlflow.db"),
        "optional": check_optional,
        "SLURM": check_slurm,
        "disk": lambda: check_disk(place),
        "locks": lambda: check_locks(place),
        "clock": lambda: check_clock(place),
        "leftovers": lambda: check_leftovers(runs),
        "limits": check_limits,
        "git": check_git,
    }


def examine(check: Callable[[], Finding]) -> Finding:
    """What a check finds; one that itself fails is a problem."""
    try:
        return check()
    except Exception as error:  # noqa: BLE001 (a broken installation raises anything, and that is the finding)
        return problem(f"{type(error).__name__}: {first_line(str(error))}")


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    folder = folder.resolve()
    return next(path for path in (folder, *folder.parents) if path.is_dir())


def check_python() -> Finding:
    found = f"{sys.version.split()[0]}, {sys.executable}"
    if (3, 11) <= sys.version_info[:2] <= (3, 12):
        return ok(found)
    return problem(f"{found}: Python 3.11 or 3.12 is needed")


def check_torch() -> Finding:
    import torch

    build = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "for the CPU alone"
    found = f"{torch.__version__}, {build}"
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) >= LEAST_TORCH:
        return ok(found)
    return problem(f"{found}: {'.'.join(map(str, LEAST_TORCH))} or newer is needed")


def check_torchvision() -> Finding:
    """CompressAI imports it, so that without it no model can be built."""
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if NMS_MISMATCH not in str(error):
            raise
        return problem(
            f"{NMS_MISMATCH}: torch {version('torch')} and torchvision {version('torchvision')} do not belong "
            "together, typically a CPU-only torch beside another source's torchvision. Install both from one source"
        )
    return ok(version("torchvision"))


def check_cuda() -> Finding:
    import torch

    if torch.cuda.is_available():
        devices = []
        for index in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(index)
            name = torch.cuda.get_device_name(index)
            devices.append(f"cuda:{index} {name}, {size_text(free)} of {size_text(total)} free")
        return ok("; ".join(devices))
    if shutil.which("nvidia-smi"):
        why = "this torch is built for the CPU alone" if not torch.version.cuda else "torch finds no device"
        return warning(f"nvidia-smi is here, but {why}; runs train on the CPU")
    return ok("no device; runs train on the CPU")


def check_bf16() -> Finding:
    import torch

    if torch.cuda.is_available():
        # torch.cuda.is_bf16_supported also counts emulation, which is slower than float32.
        native = torch.cuda.get_device_capability()[0] >= 8
        return ok("native") if native else warning("emulated: trainer.precision=bf16 would be slow, fp16 is native")
    cpu = Path("/proc/cpuinfo")
    flags = cpu.read_text(errors="replace") if cpu.exists() else ""
    native = any(flag in flags for flag in ("avx512_bf16", "amx_bf16", "avx_ne_convert"))
    return ok("native on this CPU" if native else "works, but this CPU has no instructions for it: slower than float32")


def check_threads() -> Finding:
    import torch

    allowed = usable_cores()
    threads = torch.get_num_threads()
    found = f"{threads} threads of torch, {allowed} cores for this process, {os.cpu_count()} in the machine"
    if threads > allowed:
        return warning(f"{found}: more threads than cores wait for each other; set trainer.threads={allowed}")
    return ok(found)


def check_compiler() -> Finding:
    candidates = [os.environ.get("CXX"), "g++", "clang++"]
    found = next((path for name in candidates if name and (path := shutil.which(name))), None)
    if found is None:
        return warning("no C++ compiler on the PATH: trainer.compile cannot work (Debian, Ubuntu: apt install g++)")
    return ok(f"{found}, for trainer.compile")


def check_compressai() -> Finding:
    importlib.import_module("lic_exp.models.compressai_zoo")
    importlib.import_module("compressai.ans")  # the compiled entropy coder
    return ok(f"{version('compressai')}, with its entropy coder")


def check_mlflow() -> Finding:
    if find_spec("mlflow") is None:
        return problem("not installed: the default tracker=mlflow needs it")
    return ok(version("mlflow"))


def check_optional() -> Finding:
    texts = []
    for package in ("tensorboard", "wandb"):
        try:
            texts.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            texts.append(f"no {package} (tracker={package} needs it)")
    return ok(", ".join(texts))


def check_slurm() -> Finding:
    found = [path for name in ("sinfo", "sbatch") if (path := shutil.which(name))]
    if len(found) == 1:
        return warning(f"only {found[0]}: sinfo and sbatch should both be on the PATH")
    return ok(", ".join(found) or "not on this machine")


def check_disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    found = f"{size_text(free)} free at {folder}"
    if not os.access(folder, os.W_OK | os.X_OK):
        return problem(f"{folder} cannot be written to")
    if free < TOO_LITTLE_DISK:
        return problem(f"{found}: too little for checkpoints; `python -m lic_exp gc` may help")
    files = os.statvfs(folder).f_favail
    if os.statvfs(folder).f_files and files < LITTLE_FILES:  # some file systems do not count
        return warning(f"{found}, but only {files} more files can be made there: remove some")
    return warning(f"{found}: `python -m lic_exp gc` shows what can go") if free < LITTLE_DISK else ok(found)


def check_locks(folder: Path) -> Finding:
    """Whether a second process would be refused a lock; over a network, this tells of this machine alone."""
    path = folder / f".doctor.{os.getpid()}.tmp"
    try:
        with open(path, "w") as first, open(path, "w") as second:
            fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return ok(f"work at {folder}")
        return problem(f"{folder} gives the same lock twice: two processes could train one run")
    except OSError as error:
        return problem(f"no locks at {folder}: {error.strerror}. Choose another file system with paths.runs")
    finally:
        path.unlink(missing_ok=True)
