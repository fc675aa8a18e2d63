"""Files that sources passed over because they are no images by their ending, counted once for every folder."""

from collections import Counter
from collections.abc import Iterable

from thawline.data.sources.source import ImageSource


def passed_over(sources: Iterable[ImageSource]) -> dict[str, int]:
    """Counts the files that were passed over, by ending; those of sides of one folder, scanned together, count once.

    Example:
        >>> passed_over([])
        {}
    """
    folders = {str(getattr(source, "directory", "")): getattr(source, "skipped", {}) for source in sources}
    return dict(sum(map(Counter, folders.values()), Counter()))
