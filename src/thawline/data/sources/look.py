"""What labels that are made of pixels may ask of a batch: the view that the model sees, and masks moved with it."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from thawline.data.sources.source import ImageSource


class SourceLook:
    """One view of a batch of a source, made when labels ask for it.

    Args:
        source: the images.
        indices: int64 (n,), the images' indices.
        view: the view that the model sees.
        images: that view as the model sees it, where it is there already.
    """

    def __init__(self, source: "ImageSource", indices: np.ndarray, view: int, images: np.ndarray | None) -> None:
        self._source = source
        self._indices = indices
        self._view = view
        self._images = images

    def images(self) -> np.ndarray:
        """The images as the model sees them."""
        if self._images is None:
            self._images = self._source.standardized([self._source.picture(at, self._view)[0] for at in self._indices])
        return self._images

    def follow(self, masks: list[np.ndarray]) -> list[np.ndarray]:
        """Masks moved as the view moves the images."""
        pairs = zip(self._indices, masks, strict=True)
        return [self._source.mask(int(index), mask, self._view) for index, mask in pairs]
