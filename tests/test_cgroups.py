"""A control group's CPU quota limits the number of threads: in simulated groups of both versions, and in a real one."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import python

CPUS = len(os.sched_getaffinity(0))
pytestmark = pytest.mark.skipif(CPUS < 2, reason="needs two CPUs to tell one thread from all")
THREADS = "import fastnn; print(fastnn.get_num_threads())"
ROOT = Path("/sys/fs/cgroup")
UNSHARE = ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--mount", "--map-root-user")
# Enter the group "$1", or mount "$1" over the kernel's files; then run the remaining arguments.
ENTER = ("sh", "-c", 'echo $$ > "$1/cgroup.procs" && shift && exec "$@"', "sh")
PRETEND = 'mount --bind "$1/groups" /proc/$$/cgroup && mount --bind "$1/folders" /sys/fs/cgroup && shift && exec "$@"'

QUOTA, PERIOD = "cpu.cfs_quota_us", "cpu.cfs_period_us"
GROUPS: dict[str, tuple[str, dict[str, str], int | None]] = {
    "2: none": ("0::/", {"cpu.max": "max 100000"}, None),
    "2: the root's": ("0::/", {"cpu.max": "100000 100000"}, 1),
    "2: its own": ("0::/job/step", {"job/step/cpu.max": "100000 100000"}, 1),
    "2: its parent's": ("0::/job/step", {"job/cpu.max": "100000 100000", "job/step/cpu.max": "max 100000"}, 1),
    "2: the tighter": ("0::/job", {"cpu.max": "900000 100000", "job/cpu.max": "100000 100000"}, 1),
    "2: half a CPU": ("0::/", {"cpu.max": "50000 100000"}, 1),
    "2: one and a half": ("0::/", {"cpu.max": "150000 100000"}, 2),
    "2: another period": ("0::/", {"cpu.max": "50000 50000"}, 1),
    "2: a colon in the name": ("0::/a:b", {"a:b/cpu.max": "100000 100000"}, 1),
    "2: nonsense": ("0::/", {"cpu.max": "many 100000"}, None),
    "2: empty": ("0::/", {"cpu.max": ""}, None),
    "1: none": ("3:cpu:/", {f"cpu/{QUOTA}": "-1", f"cpu/{PERIOD}": "100000"}, None),
    "1: its own": ("3:cpu:/job", {f"cpu/job/{QUOTA}": "100000", f"cpu/job/{PERIOD}": "100000"}, 1),
    "1: two controllers": ("3:cpu,cpuacct:/job", {f"cpu/job/{QUOTA}": "100000", f"cpu/job/{PERIOD}": "100000"}, 1),
    "1: the host's path": ("3:cpu:/docker/1", {f"cpu/{QUOTA}": "100000", f"cpu/{PERIOD}": "100000"}, 1),
    "1: another's": ("3:memory:/job", {f"cpu/job/{QUOTA}": "100000", f"cpu/job/{PERIOD}": "100000"}, None),
    "both": ("3:cpu:/job\n0::/", {f"cpu/job/{QUOTA}": "100000", f"cpu/job/{PERIOD}": "100000"}, 1),
    "no groups": ("", {}, None),
}


@pytest.mark.parametrize("name", GROUPS)
def test_faked_files(name: str, tmp_path: Path) -> None:
    """The files that a process reads about its groups are written by the test and mounted over the real ones."""
    groups, files, want = GROUPS[name]
    through = (*UNSHARE, "sh", "-c", PRETEND, "sh", str(tmp_path))
    (tmp_path / "groups").write_text(f"{groups}\n")
    (tmp_path / "folders").mkdir()
    for path, content in files.items():
        file = tmp_path / "folders" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{content}\n")
    try:
        subprocess.run([*through, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs a mount namespace of its own: {getattr(error, 'stderr', error)!r}")
    assert python("-c", THREADS, through=through) == str(want or CPUS)


@pytest.fixture
def real_group() -> Iterator[Path]:
    """A new group with a quota of one CPU."""
    v2 = (ROOT / "cgroup.controllers").exists()
    group = (ROOT if v2 else ROOT / "cpu") / f"fastnn-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"may make no control group: {error}")
    try:
        if v2 and not (group / "cpu.max").exists():
            pytest.skip("the root group does not hand the cpu controller on")
        (group / ("cpu.max" if v2 else QUOTA)).write_text("100000")
        yield group
    finally:
        group.rmdir()


def test_enforced_quota(real_group: Path) -> None:
    """The quota holds in a group that the kernel enforces."""
    assert python("-c", THREADS, through=(*ENTER, str(real_group))) == "1"
