"""What the small files of a run folder hold, as `lic_exp.records` reads them. Imports no torch.

Of each, the keys that are read back; few are required, since earlier versions had fewer.
"""

from typing import Annotated, Any, Literal, Required, get_args

from pydantic import Field, with_config
from typing_extensions import TypedDict

from lic_exp.records import RECORD, Amount, Count, FileName, Instant, Pid

State = Literal["created", "running", "done", "failed", "diverged", "preempted"]

STATES: tuple[str, ...] = get_args(State)

ThreadCount = Annotated[int, Field(ge=1, le=2**16)]
"""As many threads as no machine has would be started all the same."""


@with_config(RECORD)
class Numerics(TypedDict, total=False):
    """What the bits of a training depend on beside its config and its code, from a step on: a numerics record.

    from_step: steps done when it began to hold. device: "cpu" or "cuda"; device_name: the processor's. threads: of the
    CPU. instructions: those that torch uses of a CPU. compile: true is full, false off. torch, cuda, cudnn: versions.
    matmul, convolutions: how float32 is multiplied, as torch calls it. deterministic, cudnn_deterministic,
    cudnn_benchmark, mkldnn: torch's switches. world_size: processes that train together. random_streams:
    `lic_exp.random_streams`; 1 where it is not said.
    """

    from_step: Required[Count]
    device: str
    device_name: str
    instructions: str
    threads: ThreadCount
    precision: str
    memory_format: str
    compile: bool | str
    torch: str
    cuda: str | None
    cudnn: Count | None
    matmul: str
    convolutions: str
    deterministic: bool
    cudnn_deterministic: bool
    cudnn_benchmark: bool
    mkldnn: bool
    world_size: Count
    random_streams: Count


@with_config(RECORD)
class Status(TypedDict, total=False):
    """status.json. best: an infinity was written before schema 2. ticks: when the process began.

    lock: the number of the lock file by which the process holds the run, null where none does. code: the hashes of all
    code that had a part in its training (`lic_exp.runs.code_hash`), null where nobody knows one; parts: those of the
    latest by part, with the packages that it took from plugins. numerics: each holds up to the next; where the first
    begins late, what the steps before were made with is not known. starter: the pid of what has started its ranks,
    where there are several on one machine. interval_speeds_from: the step after which `train/images_per_s` is of the
    steps since the entry before; until then, of those since the validation before.
    Missing: never.
    """

    schema_version: Count
    state: State
    reason: str | None
    host: str
    pid: Pid
    ticks: Count | None
    starter: Pid | None
    lock: int | None
    heartbeat: Instant
    attempt: Count
    started: Instant | None
    finished: Instant | None
    step: Count | None
    max_steps: Count | None
    best: float | None
    skipped: list[Count]
    name: str | None
    parent: str | None
    sweep: str | None
    device: str | None
    code: list[str | None]
    numerics: list[Numerics]
    parts: dict[str, str]
    plugins: list[str]
    interval_speeds_from: Count
    throughput_key: str | None
    evaluation: str | None


@with_config(RECORD)
class EvaluationResults(TypedDict, total=False):
    """evaluation.json. evaluation: its name; those of schema 1 have none. images_changed: while they were evaluated.

    of: the run or weights, and the digits of what was asked for, which no other evaluation has; earlier versions did
    not say.

    code: the hash of the code that evaluated, null where nobody knows it; earlier versions did not say.

    former: the training began anew since, and the weights that were evaluated are gone.

    images: which they are, as `lic_exp.image_identity` says it; conventions, optimized_for: as
    `lic_exp.evaluation.conventions` says them; whoever reads these looks at what they hold.
    """

    mean: dict[str, Any]
    points: list[dict[str, Any]] | None
    exact: bool
    mismatches: list[Any]
    images_changed: list[str]
    evaluation: str | None
    of: str | None
    code: str | None
    former: bool
    images: Any
    conventions: Any
    optimized_for: Any


@with_config(RECORD)
class CodeFacts(TypedDict, total=False):
    """What is known of the code of a package. git_dirty: null where that is not known; then git_problem says why."""

    git_commit: str | None
    git_dirty: bool | None
    git_problem: str | None
    git_left_out: list[str]


@with_config(RECORD)
class CodeRecord(CodeFacts, total=False):
    """The same of all packages that take part in a run. git_diffs: the files beside it that hold what was changed."""

    git_diffs: list[FileName]
    plugins: dict[str, CodeFacts]


@with_config(RECORD)
class ImagesRecord(TypedDict):
    """Images of a run or of a stage of it. train, val: how many there are."""

    name: str
    fingerprint: str
    train: Count
    val: Count


@with_config(RECORD)
class Environment(CodeRecord, total=False):
    """environment.json. images: by what messages call them, "data" or "stages[1].data"; earlier versions had none."""

    command: list[str]
    overrides: list[str]
    python: str
    platform: str
    cpu_count: Count | None
    packages: dict[str, str]
    images: dict[str, ImagesRecord]


@with_config(RECORD)
class ComplexityNumbers(TypedDict):
    """complexity.json, but for its parts."""

    parameters: Amount
    macs_per_pixel: Amount
    encode_macs_per_pixel: Amount | None
    decode_macs_per_pixel: Amount | None


@with_config(RECORD)
class MlflowRecord(TypedDict, total=False):
    """tracking/mlflow.json: what finds the run's MLflow run again, and where that was last."""

    key: Required[str]
    uri: str
    experiment: str
    run_id: str


@with_config(RECORD)
class WandbRecord(TypedDict):
    """tracking/wandb.json: the run's name in wandb's world."""

    id: str
