"""ImageFiles: images by file name, without labels."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from thawline.arguments import height_and_width
from thawline.data.decode import ColorMode, Decoding, FileRange, Interpolation, Resize
from thawline.data.labels import Labels
from thawline.data.sources.keras_words import take_words
from thawline.data.sources.pictures import FilePictures
from thawline.data.sources.scan import find_images, known_endings, skipped_note
from thawline.data.sources.source import ImageSource
from thawline.errors import ArgumentError, DataError, FolderNotFoundError


class ImageFiles(ImageSource):
    """Images by file name, without labels: what `Stack.predict` takes for new pictures.

    Args:
        paths: files, and folders of which every image is taken, in sorted order.
        image_size, batch_size, color_mode, interpolation, resize, background, fast_jpeg, file_range, on_error: as in
            `ImageFolder`.
        others: words of Keras' loaders, as in `ImageFolder`.

    Raises:
        ArgumentError: a single path instead of a list, or an argument that is not known.
        FolderNotFoundError: a path does not exist.
        DataError: no path names an image.
    """

    def __init__(
        self,
        paths: Sequence[str | os.PathLike[str]],
        *,
        image_size: tuple[int, int] | int = (256, 256),
        batch_size: int = 32,
        color_mode: ColorMode = "rgb",
        interpolation: Interpolation = "area",
        resize: Resize = "stretch",
        background: tuple[int, int, int] = (255, 255, 255),
        fast_jpeg: bool = False,
        file_range: FileRange = None,
        on_error: Literal["raise", "skip"] = "raise",
        **others: Any,
    ) -> None:
        words = take_words(type(self), others, {"resize": resize, "shuffle": True})
        resize = words["resize"]
        if isinstance(paths, str | os.PathLike):
            raise ArgumentError(f"paths is a list of files and folders; got {paths!r}. Write [{str(paths)!r}].")
        skipped: Counter[str] = Counter()
        found: list[Path] = []
        for path in map(Path, paths):
            if not path.exists():
                raise FolderNotFoundError(f"No file or folder {str(path)!r}. Check the path.")
            found += find_images(path, skipped) if path.is_dir() else [path]
        if not found:
            given = ", ".join(map(str, paths))
            raise DataError(f"No images ({known_endings()}) in {given or 'an empty list'}.{skipped_note(skipped)}")
        self.skipped = dict(skipped)
        super().__init__(
            FilePictures(
                found,
                Decoding(
                    height_and_width(image_size),
                    color_mode,
                    interpolation,
                    resize=resize,
                    background=background,
                    fast_jpeg=fast_jpeg,
                    file_range=file_range,
                ),
            ),
            Labels(),
            batch_size=batch_size,
            seed=0,
        )
        self.shuffle = words["shuffle"]
        self._leave_out_unreadable(on_error)
