"""The machine of a trial: where a result comes from, and the cores that processes get."""

import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import psutil

_CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """All facts that are needed to compare a result with another one."""

    #: UTC date, ISO 8601.
    date: str
    #: Short hash of the commit, with "-dirty" when files differ from it.
    commit: str
    #: Model of the CPU.
    cpu: str
    #: Logical cores.
    cores: int
    #: GiB of memory.
    memory_gib: float
    #: Kind of operating system and machine.
    system: str
    #: Version of Python.
    python: str
    #: Version of PostgreSQL; empty when none ran.
    postgres: str

    @property
    def label(self) -> str:
        """Return date and commit, for names of files."""
        return f"{self.date}-{self.commit}"


async def origin(admin_dsn: str = "") -> Origin:
    """Return the origin of this machine now, with the version of the PostgreSQL at `admin_dsn`."""
    return Origin(
        date=datetime.now(UTC).date().isoformat(),
        commit=_commit(),
        cpu=_cpu_model(),
        cores=psutil.cpu_count() or 0,
        memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        postgres=await _postgres_version(admin_dsn) if admin_dsn else "",
    )


def pin(pid: int, cores: Sequence[int]) -> None:
    """Leave a process these cores alone, where there are any to give."""
    if cores:
        psutil.Process(pid).cpu_affinity(list(cores))


def cores_of_this_process() -> list[int]:
    """Return the cores that we may use; none where the system cannot give single ones."""
    try:
        found = psutil.Process().cpu_affinity()
    except (AttributeError, psutil.Error):
        return []
    return sorted(found or ())


def _commit() -> str:
    head = _git("rev-parse", "--short=10", "HEAD")
    return f"{head}-dirty" if _git("status", "--porcelain", "--", ":!trials/results") else head


def _git(*arguments: str) -> str:
    result = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    return result.stdout.strip()


def _cpu_model() -> str:
    if _CPU_INFO.exists():
        for line in _CPU_INFO.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


async def _postgres_version(admin_dsn: str) -> str:
    connection = await asyncpg.connect(admin_dsn)
    try:
        return str(await connection.fetchval("SHOW server_version"))
    finally:
        await connection.close()
