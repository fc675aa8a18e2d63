"""thawline cache: what is kept between runs, whether it is whole, and how to get its room back."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from thawline.cli.output import print_json, print_line, print_table
from thawline.features.cache import SETS_NAME, FeatureCache, SetCheck, SetReport
from thawline.figures import format_bytes, parse_bytes
from thawline.progress import progress
from thawline.store import default_cache_path

# What else is kept in the folder, by the names of its folders.
_OTHERS = {"pixels": "pixels of images", "files": "digests of files", "engines": "choices of engines"}

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400


def show(path: Path | None, *, as_json: bool) -> None:
    """Prints the sets of features with their sizes, what else is kept, and how large the cache may become."""
    folder = _folder(path)
    cache = _open(folder)
    sets = [] if cache is None else cache.sets()
    others = {name: _size_bytes(folder / name) for name in _OTHERS if (folder / name).is_dir()}
    if as_json:
        print_json(
            {
                "path": str(folder),
                "size_bytes": sum(report.size_bytes for report in sets),
                "max_bytes": None if cache is None else cache.max_bytes,
                "sets": list(map(_as_json, sets)),
                "others": [{"name": name, "size_bytes": size} for name, size in others.items()],
            }
        )
        return
    if not sets:
        print_line(f"No features are kept in {folder}.")
    else:
        now = datetime.now(UTC)
        print_table(
            ["features", "tensors", "views", "size", "last used", "in use"],
            [
                [
                    _name(report),
                    # Per image: the size of a batch is none of a set's business.
                    report.shapes.replace("(None, ", "("),
                    "cannot be read" if report.rows is None else f"{report.rows:,}",
                    format_bytes(report.size_bytes),
                    format_ago(report.last_used, now),
                    "yes" if report.is_in_use else "no",
                ]
                for report in sets
            ],
        )
        print_line()
    if sets and cache is not None:
        print_line(
            f"{_count(sets)} in {folder}: {format_bytes(sum(report.size_bytes for report in sets))} of at most "
            f"{format_bytes(cache.max_bytes)}"
        )
    for name, size_bytes in others.items():
        print_line(f"besides, {_OTHERS[name]} in {folder / name}: {format_bytes(size_bytes)}")


def verify(path: Path | None, *, as_json: bool, quiet: bool) -> bool:
    """Reads every row, takes the damaged ones out and prints how many there were.

    Returns:
        Whether everything was whole.
    """
    folder = _folder(path)
    cache = _open(folder)
    checks: list[SetCheck] = []
    if cache is not None:
        total = sum(report.rows or 0 for report in cache.sets())
        with progress("verifying", total, unit="views", show=not quiet) as advance:
            checks = cache.verify(advance)
    if as_json:
        print_json(
            {
                "path": str(folder),
                "rows": sum(check.rows for check in checks),
                "damaged": sum(check.damaged for check in checks),
                "sets": [vars(check) for check in checks],
            }
        )
    elif not checks:
        print_line(f"No features are kept in {folder}.")
    else:
        print_table(
            ["features", "views", "damaged", "result"],
            [[_name(check), f"{check.rows:,}", f"{check.damaged:,}", _result(check)] for check in checks],
        )
        for check in checks:
            if check.problem and not check.is_deleted:
                print_line(f"\n{_name(check)}: {check.problem}")
    return not any(check.damaged or check.problem for check in checks)


def prune(path: Path | None, max_bytes: str, *, as_json: bool) -> None:
    """Deletes sets, the one that was not used for the longest time first, and prints what went and what stays."""
    most = parse_bytes(max_bytes)
    folder = _folder(path)
    cache = _open(folder)
    deleted = [] if cache is None else cache.prune(most)
    left = [] if cache is None else cache.sets()
    freed_bytes = sum(report.size_bytes for report in deleted)
    if as_json:
        print_json(
            {
                "path": str(folder),
                "freed_bytes": freed_bytes,
                "size_bytes": sum(report.size_bytes for report in left),
                "deleted": list(map(_as_json, deleted)),
                "left": list(map(_as_json, left)),
            }
        )
        return
    now = datetime.now(UTC)
    for report in deleted:
        size, ago = format_bytes(report.size_bytes), format_ago(report.last_used, now)
        print_line(f"deleted: {_name(report)}, {size}, last used {ago}")
    left_bytes = sum(report.size_bytes for report in left)
    print_line(f"{format_bytes(freed_bytes)} freed in {folder}; {_count(left)} with {format_bytes(left_bytes)} left.")
    if left_bytes > most:
        for report in left:
            if report.is_in_use:
                print_line(f"stays, because a process uses it: {_name(report)}, {format_bytes(report.size_bytes)}")


def format_ago(then: datetime, now: datetime) -> str:
    """How long ago something was, in words; the day where that is long ago.

    Example:
        >>> noon = datetime(2024, 5, 17, 12, tzinfo=UTC)
        >>> format_ago(datetime(2024, 5, 17, 11, 57, tzinfo=UTC), noon), format_ago(noon, noon)
        ('3 min ago', 'just now')
    """
    seconds = (now - then).total_seconds()
    if seconds < _MINUTE_S:
        return "just now"
    if seconds < _HOUR_S:
        return f"{seconds // _MINUTE_S:.0f} min ago"
    if seconds < _DAY_S:
        return f"{seconds // _HOUR_S:.0f} h ago"
    days = int(seconds // _DAY_S)
    if days < 60:
        return f"{days} day{'s' * (days > 1)} ago"
    return f"{then.astimezone():%Y-%m-%d}"


def _folder(path: Path | None) -> Path:
    return (default_cache_path() if path is None else path).resolve()


def _open(folder: Path) -> FeatureCache | None:
    """The cache in a folder; None where there is none, because looking must not make one."""
    return FeatureCache(folder) if (folder / SETS_NAME).is_dir() or (folder / "data.mdb").exists() else None


def _name(found: SetReport | SetCheck) -> str:
    return found.label or f"set {found.identity[:8]}"


def _result(check: SetCheck) -> str:
    if check.is_deleted:
        return "cannot be read, deleted"
    if check.problem:
        return "cannot be read"
    return "damaged ones taken out" if check.damaged else "whole"


def _count(sets: Sequence[SetReport]) -> str:
    return f"{len(sets)} set{'s' * (len(sets) != 1)} of features"


def _as_json(report: SetReport) -> dict[str, Any]:
    return {**vars(report), "last_used": report.last_used.isoformat(timespec="seconds")}


def _size_bytes(folder: Path) -> int:
    """Bytes of all files in a folder, at any depth."""
    size_bytes = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                size_bytes += (Path(parent) / name).stat().st_size
            except OSError:
                # Gone meanwhile.
                continue
    return size_bytes
