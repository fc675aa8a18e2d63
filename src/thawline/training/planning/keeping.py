"""Keeping: what features would cost by where the model is cut and as which numbers they are kept."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from thawline.training.planning.forecast import Forecaster

# What a row takes as a share of what it takes in full.
_STORAGES = {"float32": 1.0, "float16 or bfloat16": 0.5}


@dataclass(frozen=True)
class Keeping:
    """One way to keep features.

    Attributes:
        cut: the last layer below the cut.
        storage: as which numbers they are kept.
        row_bytes: bytes of features per view of an image, as they are kept.
        disk_bytes: bytes of disk that all of them take.
        total_s: seconds of the whole phase.
    """

    cut: str
    storage: str
    row_bytes: int
    disk_bytes: int
    total_s: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def ways_to_keep(forecaster: Forecaster, views: int) -> tuple[Keeping, ...]:
    """Every cut with every storage, the thaw line in full first; what the cache has counts as done for all of them.

    Args:
        forecaster: forecasts for the phase.
        views: distinct views of each image.
    """
    ways = []
    for place in forecaster.work.places:
        for storage, share in _STORAGES.items():
            kept = replace(forecaster, work=replace(forecaster.work, storage_share=share))
            option = kept.forecast("precomputed", views, place.number)
            row_bytes = int(place.row_bytes * share)
            ways.append(Keeping(place.name, storage, row_bytes, option.disk_bytes, option.total_s))
    return tuple(ways)
