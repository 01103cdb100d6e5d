"""Memory and CPU limits of control groups, from made-up trees of every kind of host."""

from __future__ import annotations

from pathlib import Path

from slmtui.sources.detect_cgroup import cpu_quota, memory_limits
from slmtui.sources.detect_linux import memory, usable_cores
from tests.sources.trees import GIB, MEMINFO, grow

NO_LIMIT_V1 = "9223372036854771712\n"


def test_no_limits_leave_the_machines_own_memory(tmp_path: Path) -> None:
    root = grow(
        tmp_path,
        {
            "proc/meminfo": MEMINFO,
            "proc/self/cgroup": "0::/user.slice/session.scope\n",
            "sys/fs/cgroup/user.slice/memory.max": "max\n",
            "sys/fs/cgroup/user.slice/session.scope/memory.max": "max\n",
            "sys/fs/cgroup/user.slice/session.scope/cpu.max": "max 100000\n",
        },
    )
    found = memory(root)
    assert (found.total_bytes, found.available_bytes, found.limited_by) == (16 * GIB, 8 * GIB, None)
    assert cpu_quota(root) is None
    assert usable_cores(root, 6) == 6


def test_a_machine_without_any_files_says_nothing(tmp_path: Path) -> None:
    found = memory(tmp_path)
    assert (found.total_bytes, found.available_bytes, found.limited_by) == (None, None, None)
    assert memory_limits(tmp_path) == []
    assert cpu_quota(tmp_path) is None


def test_version_2_limit_at_a_parent_holds_and_idle_page_cache_counts_as_free(tmp_path: Path) -> None:
    root = grow(
        tmp_path,
        {
            "proc/meminfo": MEMINFO,
            "proc/self/cgroup": "0::/kubepods/pod7/app\n",
            "sys/fs/cgroup/kubepods/memory.max": f"{12 * GIB}\n",
            "sys/fs/cgroup/kubepods/memory.current": f"{5 * GIB}\n",
            "sys/fs/cgroup/kubepods/pod7/memory.max": f"{4 * GIB}\n",
            "sys/fs/cgroup/kubepods/pod7/memory.current": f"{3 * GIB}\n",
            "sys/fs/cgroup/kubepods/pod7/memory.stat": f"anon 1\ninactive_file {2 * GIB}\nactive_file 5\n",
            "sys/fs/cgroup/kubepods/pod7/app/memory.max": "max\n",
            "sys/fs/cgroup/kubepods/cpu.max": "800000 100000\n",
            "sys/fs/cgroup/kubepods/pod7/cpu.max": "250000 100000\n",
        },
    )
    found = memory(root)
    assert found.total_bytes == 4 * GIB
    assert found.available_bytes == 3 * GIB
    assert found.limited_by == "cgroup v2 memory.max"
    assert cpu_quota(root) == 2.5
    assert usable_cores(root, 8) == 2, "two and a half cores carry two threads"


def test_the_parent_with_less_left_decides_what_is_available(tmp_path: Path) -> None:
    root = grow(
        tmp_path,
        {
            "proc/meminfo": MEMINFO,
            "proc/self/cgroup": "0::/all/app\n",
            "sys/fs/cgroup/all/memory.max": f"{8 * GIB}\n",
            "sys/fs/cgroup/all/memory.current": f"{7 * GIB}\n",
            "sys/fs/cgroup/all/app/memory.high": f"{2 * GIB}\n",
            "sys/fs/cgroup/all/app/memory.current": "0\n",
        },
    )
    found = memory(root)
    assert (found.total_bytes, found.available_bytes) == (2 * GIB, 1 * GIB)
    assert found.limited_by == "cgroup v2 memory.high"


def test_use_beyond_the_limit_leaves_zero_not_less(tmp_path: Path) -> None:
    root = grow(
        tmp_path,
        {
            "proc/meminfo": MEMINFO,
            "proc/self/cgroup": "0::/\n",
            "sys/fs/cgroup/memory.max": f"{GIB}\n",
            "sys/fs/cgroup/memory.current": f"{2 * GIB}\n",
        },
    )
    assert memory(root).available_bytes == 0


def test_a_limit_above_the_machines_memory_limits_nothing(tmp_path: Path) -> None:
    root = grow(
        tmp_path,
        {
            "proc/meminfo": MEMINFO,
            "proc/self/cgroup": "0::/\n",
            "sys/fs/cgroup/memory.max": f"{64 * GIB}\n",
            "sys/fs/cgroup/memory.current": f"{GIB}\n",
        },
    )
    found = memory(root)
    assert (found.total_bytes, found.available_bytes, found.limited_by) == (16 * GIB, 8 * GIB, None)


def test_version_1_in_a_container_whose_host_path_does_not_exist(tmp_path: Path) -> None:
    root = grow(
        tmp_path,
        {
            "proc/meminfo": MEMINFO,
            "proc/self/cgroup": "5:memory:/docker/0a1b\n3:cpu,cpuacct:/docker/0a1b\n1:name=systemd:/x\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{2 * GIB}\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{GIB}\n",
            "sys/fs/cgroup/memory/memory.stat": f"inactive_file 9\ntotal_inactive_file {GIB // 2}\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "50000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        },
    )
    found = memory(root)
    assert (found.total_bytes, found.available_bytes) == (2 * GIB, 3 * GIB // 2)
    assert found.limited_by == "cgroup v1 memory.limit_in_bytes"
    assert cpu_quota(root) == 0.5
    assert usable_cores(root, 4) == 1, "half a core still carries one thread"


def test_a_mixed_host_is_read_at_the_controllers_own_path(tmp_path: Path) -> None:
    """The "0::/" line must not hide version 1's memory line, nor the other way round."""
    root = grow(
        tmp_path,
        {
            "proc/meminfo": MEMINFO,
            "proc/self/cgroup": "4:memory:/jobs/one\n1:cpu:/jobs/one\n0::/jobs/one\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": NO_LIMIT_V1,
            "sys/fs/cgroup/memory/jobs/memory.limit_in_bytes": f"{6 * GIB}\n",
            "sys/fs/cgroup/memory/jobs/one/memory.limit_in_bytes": NO_LIMIT_V1,
            "sys/fs/cgroup/cpu/jobs/one/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/jobs/one/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/unified/jobs/one/cpu.max": "300000 100000\n",
        },
    )
    found = memory(root)
    assert (found.total_bytes, found.available_bytes) == (6 * GIB, 6 * GIB)
    assert found.limited_by == "cgroup v1 memory.limit_in_bytes"
    assert cpu_quota(root) == 3.0
