"""Where a process stands among those that share a training. Imports no torch.

Who starts them says so as torchrun does, in the environment: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT.
"""

import os
from dataclasses import dataclass

from lic_exp.config.errors import ConfigError
from lic_exp.config.schema import RunConfig

STARTED_BY_US = "LIC_EXP_STARTED_RANKS"
"""In the environment of ranks that `lic_exp.runs.rank_launch` has started, whose store is in its process."""


@dataclass(frozen=True)
class RankPlace:
    """A process among `world` others. local: its number on its machine, which is that of its device."""

    rank: int
    world: int
    local: int


def rank_place() -> RankPlace | None:
    """What the environment says of this process; None where nobody has started several."""
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        return None
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    return RankPlace(rank, world, int(os.environ.get("LOCAL_RANK", rank)))


def is_follower() -> bool:
    """Whether this process is a rank but the first."""
    place = rank_place()
    return place is not None and place.rank > 0


def starter() -> int | None:
    """The pid of the process of ours that has started this one as a rank; None where none has."""
    pid = os.environ.get(STARTED_BY_US)
    return None if pid is None else int(pid)


def check_place(config: RunConfig, place: RankPlace | None) -> None:
    """Raise ConfigError where so many processes were started as the config does not have."""
    if place is not None and place.world != config.trainer.ranks:
        devices, nodes = config.trainer.devices, config.trainer.nodes
        raise ConfigError(
            [
                f"{place.world} processes were started (WORLD_SIZE), and trainer.devices={devices} with "
                f"trainer.nodes={nodes} is {config.trainer.ranks}: give as many"
            ]
        )
