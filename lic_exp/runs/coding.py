"""A codec to code files by: a run's, or a model with weights of one's own."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from lic_exp.config.errors import ConfigError
from lic_exp.config.schema import RunConfig
from lic_exp.models.base import Codec
from lic_exp.models.files import CheckpointError
from lic_exp.runs.build import build_codec, resolve_device
from lic_exp.runs.evaluate import load_codec
from lic_exp.runs.one_at_a_time import one_at_a_time
from lic_exp.runs.run import Run


class CodingRun(Run):
    """A run whose codec can be asked for, which takes torch."""

    @classmethod
    def of(cls, run: Run) -> Self:
        """The same run, and the same of its evaluations."""
        return cls(run.folder, evaluated_as=run.evaluated_as)

    def codec(self, device: str | None = None) -> Codec:
        """The codec with the weights that the run is evaluated with, in eval mode, ready to code.

        device: as `trainer.device`, which None takes. Raises ConfigError where it has no such weights yet, RunBusyError
        while a run trains in another thread, DivergedError for weights that are not finite.
        """
        chosen = resolve_device(self.config.trainer.device if device is None else device)
        try:
            return load_codec(self, chosen)
        except CheckpointError as error:
            raise ConfigError([f"{error} (run {self.signature} is {self.state})"]) from error


@dataclass(frozen=True)
class CodecChoice:
    """Which codec to code by: the best weights of a run, or the config of a model with weights.

    Another process makes the same of it. device: as `trainer.device`.
    """

    of: Path | RunConfig
    device: str | None = None

    def load(self) -> Codec:
        """The codec, in eval mode, on its device. Raises as `CodingRun.codec`."""
        if isinstance(self.of, Path):
            return CodingRun(self.of).codec(self.device)
        device = resolve_device(self.device or "auto")
        return _built(self.of).to(device).eval()


@one_at_a_time("makes a model", nested=True, long=False)
def _built(config: RunConfig) -> Codec:
    return build_codec(config)
