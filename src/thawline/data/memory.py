"""How much memory is free: of the machine, and of the container that the process runs in."""

import os
from pathlib import Path

# Where the system tells nothing (Windows): what nearly every machine that trains has to spare.
_UNKNOWN_BYTES = 2 << 30

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def free_memory_bytes() -> int:
    """Bytes of memory that could be used now without swapping.

    Linux tells it exactly, in a container (cgroup 2) up to the container's limit; elsewhere half of the machine's
    memory is taken for free, or 2 GiB where even that is not told.

    Example:
        >>> free_memory_bytes() > 0
        True
    """
    free = _available_bytes()
    limit = _container_bytes(_CGROUP)
    return free if limit is None else min(free, limit)


def parse_available(meminfo: str) -> int | None:
    """`MemAvailable` of Linux' /proc/meminfo in bytes: free memory and caches that give way; None without it.

    Example:
        >>> parse_available("MemTotal:  16 kB\\nMemAvailable:   8 kB\\n")
        8192
    """
    for line in meminfo.splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    return None


def _available_bytes() -> int:
    if _MEMINFO.exists():
        available = parse_available(_MEMINFO.read_text(encoding="ascii"))
        if available is not None:
            return available
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    # Windows has no sysconf; other systems may lack a name.
    except (AttributeError, ValueError, OSError):
        return _UNKNOWN_BYTES


def _container_bytes(folder: Path) -> int | None:
    """What the container's limit leaves; None without a limit. File pages that were not used lately give way."""
    try:
        limit = (folder / "memory.max").read_text(encoding="ascii").strip()
        used = int((folder / "memory.current").read_text(encoding="ascii"))
        statistics = (folder / "memory.stat").read_text(encoding="ascii")
    except OSError:
        return None
    if limit == "max":
        return None
    numbers = dict(line.split(maxsplit=1) for line in statistics.splitlines())
    return max(0, int(limit) - used + int(numbers.get("inactive_file", 0)))
