"""Free memory, as Linux and containers tell it."""

import pytest

from thawline.data import memory


@pytest.fixture
def container(tmp_path, monkeypatch):
    """A machine with 8 GB free, and a container whose limit, use and file pages can be set."""
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 16000000 kB\nMemFree: 1000 kB\nMemAvailable: 8000000 kB\n")
    monkeypatch.setattr(memory, "_MEMINFO", meminfo)
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)

    def limit(most, used, inactive):
        (tmp_path / "memory.max").write_text(f"{most}\n")
        (tmp_path / "memory.current").write_text(f"{used}\n")
        (tmp_path / "memory.stat").write_text(f"anon 5\nfile 7\ninactive_file {inactive}\n")

    return limit


def test_the_machine_tells_what_is_available(container):
    assert memory.free_memory_bytes() == 8_000_000 * 1024


def test_the_containers_limit_counts_and_its_idle_file_pages_give_way(container):
    container(1000, 900, 300)
    assert memory.free_memory_bytes() == 400
    container(1000, 1200, 0)
    assert memory.free_memory_bytes() == 0


def test_a_container_without_limit_changes_nothing(container):
    container("max", 900, 300)
    assert memory.free_memory_bytes() == 8_000_000 * 1024


def test_systems_without_meminfo_count_half_of_their_memory(container, monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "missing")
    monkeypatch.setattr("os.sysconf", {"SC_PHYS_PAGES": 1000, "SC_PAGE_SIZE": 4096}.__getitem__)
    assert memory.free_memory_bytes() == 500 * 4096


def test_systems_that_tell_nothing_count_as_2_gib(container, monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "missing")
    monkeypatch.delattr("os.sysconf")
    assert memory.free_memory_bytes() == 2 << 30
