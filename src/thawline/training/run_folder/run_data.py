"""Which images a run is about: data.json and split.csv in its folder, and what changed since they were written."""

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blake3 import blake3

from thawline.data.sources.passed_over import passed_over
from thawline.data.sources.source import ImageSource
from thawline.files import NAMES, replacing, write_json
from thawline.training.checkpoints.identity import describe_source

_HEAD = ["side", "path", "label", "digest"]


@dataclass(frozen=True)
class Side:
    """One side of the data.

    Attributes:
        name: "train" or "validation".
        source: its images.
        folder: the folder that paths are told from.
        table: the table that names them, or None.
    """

    name: str
    source: ImageSource
    folder: Path
    table: Path | None = None


def write_data(run: Path, sides: list[Side]) -> None:
    """Writes which file is on which side, with its label and its content's BLAKE3 digest, and a digest of all."""
    with (
        replacing(run / "split.csv") as temporary,
        temporary.open("w", encoding="utf-8", errors=NAMES, newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_HEAD)
        for side in sides:
            writer.writerows(_rows(side))
    write_json(run / "data.json", _describe(sides))


def trained_digests(run: Path) -> set[str]:
    """The digests of the training side that `write_data` wrote, in hexadecimal digits; none where it wrote nothing."""
    path = run / "split.csv"
    if not path.exists():
        return set()
    with path.open(encoding="utf-8", errors=NAMES, newline="") as file:
        return {row["digest"] for row in csv.DictReader(file) if row["side"] == "train"}


def data_changes(run: Path, sides: list[Side]) -> str:
    """What changed since `write_data`, in words; empty when nothing did, or when nothing was written."""
    path = run / "data.json"
    described = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    if described is None or described["digest"] == _describe(sides)["digest"]:
        return ""
    with (run / "split.csv").open(encoding="utf-8", errors=NAMES, newline="") as file:
        before = {(row["side"], row["path"]): (row["label"], row["digest"]) for row in csv.DictReader(file)}
    now = {(side, path): (label, digest) for each in sides for side, path, label, digest in _rows(each)}
    added, gone = ({path for _, path in one.keys() - other.keys()} for one, other in ((now, before), (before, now)))
    found = {
        "added": sorted(added - gone),
        "gone": sorted(gone - added),
        "changed": sorted(path for side, path in now.keys() & before.keys() if now[side, path] != before[side, path]),
        "moved to the other side": sorted(added & gone),
    }
    told = [f"{len(paths):,} {what}, first {paths[0]}" for what, paths in found.items() if paths]
    return "; ".join(told) or _changes_of_equal_files(described, sides)


def _changes_of_equal_files(described: Mapping[str, Any], sides: list[Side]) -> str:
    """Describes the difference between the same files with the same classes, then and now."""
    for side in sides:
        before = described.get(side.name, {})
        classes, names = list(before.get("classes", {})), list(side.source.class_names)
        if classes and classes != names:
            return f"the classes of {side.name} were {', '.join(classes)}, and are {', '.join(names)}"
        alike = blake3(b"".join(side.source.content_digests(show_progress=False)))
        alike.update(side.source.target_content())
        if before.get("digest") == alike.hexdigest() and before["digest"] != describe_source(side.source)["images"]:
            return f"copies among those of {side.name} were augmented alike, and have views of their own now"
    return "they are in another order"


def _rows(side: Side) -> Iterator[tuple[str, str, str, str]]:
    source = side.source
    labels = source.known_labels
    digests = source.content_digests(show_progress=False)
    for path, label, digest in zip(source.paths, labels, digests, strict=True):
        inside = path.relative_to(side.folder) if path.is_relative_to(side.folder) else path
        yield side.name, inside.as_posix(), source.class_names[label], digest.hex()


def _describe(sides: list[Side]) -> dict[str, Any]:
    parts: dict[str, Mapping[str, Any]] = {
        side.name: {
            "folder": str(side.folder),
            **({} if side.table is None else {"table": str(side.table)}),
            "images": len(side.source),
            "classes": side.source.class_counts,
            "digest": describe_source(side.source)["images"],
        }
        for side in sides
    }
    whole = blake3("".join(part["digest"] for part in parts.values()).encode()).hexdigest()
    over = passed_over(side.source for side in sides)
    return {"digest": whole, **parts, **({"passed_over": over} if over else {})}
