"""How many cores this process may use, as the kernel tells it in files."""

import os
from pathlib import Path

import pytest

from lic_exp.processes import usable_cores

UNIFIED = {"proc/self/cgroup": "0::/a/b\n"}
OLD = {"proc/self/cgroup": "4:memory:/x\n2:cpu,cpuacct:/a/b\n0::/\n"}


def files(root: Path, content: dict[str, str]) -> Path:
    for name, text in content.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("content", "cores"),
    [
        ({}, 12),
        (UNIFIED, 12),
        (UNIFIED | {"sys/fs/cgroup/a/b/cpu.max": "max 100000\n"}, 12),
        (UNIFIED | {"sys/fs/cgroup/a/b/cpu.max": "250000 100000\n"}, 3),
        (UNIFIED | {"sys/fs/cgroup/a/b/cpu.max": "50000 100000\n"}, 1),
        (UNIFIED | {"sys/fs/cgroup/a/cpu.max": "400000 100000\n", "sys/fs/cgroup/a/b/cpu.max": "max 100000\n"}, 4),
        (UNIFIED | {"sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
        (UNIFIED | {"sys/fs/cgroup/cpu.max": "9900000 100000\n"}, 12),
        (UNIFIED | {"sys/fs/cgroup/cpu.max": "nonsense\n"}, 12),
        (OLD, 12),
        (OLD | {"sys/fs/cgroup/cpu/a/b/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/a/b/cpu.cfs_period_us": "5"}, 12),
        (OLD | {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "300000", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 3),
        (OLD | {"sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "1", "sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "0"}, 12),
    ],
)
def test_a_group_may_get_less_than_all_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: dict[str, str], cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(12)))
    assert usable_cores(files(tmp_path, content)) == cores


def test_a_process_that_is_bound_to_cores_has_those(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 7})
    assert usable_cores(tmp_path) == 2
