"""Test clusters that many tests share. Each session, and so each pytest-xdist worker, has clusters of its own.

A shared cluster is as its last user left it: `clear()` cancels its jobs and brings its nodes back.
"""

from collections.abc import Iterator

import pytest
from cluster import Cluster, why_not


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("slurm") and (reason := why_not()):
        pytest.skip(reason)


@pytest.fixture(scope="session")
def slurm_cluster() -> Iterator[Cluster]:
    """A cluster without accounting: `sacct` fails, and slurmctld forgets a job five minutes after its end."""
    with Cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def accounted_cluster() -> Iterator[Cluster]:
    """A cluster with slurmdbd: `sacct` works."""
    if reason := why_not(accounting=True):
        pytest.skip(reason)
    with Cluster(accounting=True) as cluster:
        yield cluster
