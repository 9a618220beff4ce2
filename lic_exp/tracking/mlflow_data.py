"""The images of a run as data sets of MLflow: what they are called, which they are, and how many."""

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from lic_exp.image_identity import DIGITS
from lic_exp.records import RecordError, read_record
from lic_exp.text import shortened, visible
from lic_exp.tracking.evaluated import own_evaluation
from lic_exp.tracking.kinds import Environment
from lic_exp.tracking.run_folder import RunFolder

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput

CONTEXT_TAG = "mlflow.data.context"
NAME_LENGTH, SIZES_LENGTH = 200, 1000


class LoggedImages(NamedTuple):
    """A data set of MLflow. context: what it is for. digest: of the contents. about: how many images."""

    context: str
    name: str
    digest: str
    about: Mapping[str, Any]


def image_sets(run: RunFolder) -> Iterator[LoggedImages]:
    """Of training, with validation, and of the run's own evaluation, as far as they are on record."""
    try:
        recorded = read_record(run.environment, Environment).get("images", {})
    except (FileNotFoundError, RecordError):
        recorded = {}
    for facts in recorded.values():
        numbers = {"training_images": facts["train"], "validation_images": facts["val"]}
        about: dict[str, Any] = {"num_rows": sum(numbers.values())} | numbers
        yield LoggedImages("training", facts["name"], facts["fingerprint"][:DIGITS], about)
    images = own_evaluation(run).images
    if images.get("fingerprint"):
        about = {"num_rows": images.get("number"), "sizes": _sizes_text(images.get("sizes"))}
        yield LoggedImages("evaluation", str(images.get("name") or "images"), str(images["fingerprint"]), about)


def log_image_sets(client: "MlflowClient", run_id: str, run: RunFolder) -> None:
    """Those that the MLflow run does not have yet."""
    inputs = client.get_run(run_id).inputs
    known = {(one.dataset.name, one.dataset.digest) for one in inputs.dataset_inputs} if inputs else set()
    missing = [one for one in map(_input, image_sets(run)) if (one.dataset.name, one.dataset.digest) not in known]
    if missing:
        client.log_inputs(run_id, datasets=missing)


def _input(found: LoggedImages) -> "DatasetInput":
    from mlflow.entities import Dataset, DatasetInput, InputTag

    name = shortened(visible(found.name), NAME_LENGTH)
    source, profile = json.dumps({"images": name}), json.dumps(found.about)
    dataset = Dataset(name, found.digest, source_type="images", source=source, profile=profile)
    return DatasetInput(dataset, [InputTag(CONTEXT_TAG, found.context)])


def _sizes_text(sizes: Any) -> str:
    """How many images of which size: 24 of 768 x 512."""
    counted = sizes.items() if isinstance(sizes, Mapping) else ()
    return shortened(", ".join(f"{number} of {size}" for size, number in counted), SIZES_LENGTH)
