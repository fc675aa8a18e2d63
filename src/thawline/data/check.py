"""Which files cannot be decoded, found before anything is trained on them."""

import csv
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from thawline.data.decode import Decoding, decode
from thawline.errors import UnreadableImageError
from thawline.files import replacing
from thawline.progress import progress


def check_images(paths: Sequence[Path], decoding: Decoding, *, show_progress: bool = True) -> list[tuple[Path, str]]:
    """The files that cannot be used, each with the reason, in the order of the paths.

    Every file is read and decoded whole, as training would: a header alone does not show that the rest is cut off.
    It costs what a first epoch's decoding does, and uses all cores.

    Args:
        paths: the files.
        decoding: how they would be decoded.
        show_progress: whether a bar shows how far it is, on stderr.

    Returns:
        (path, reason) of every bad file; the reason is the error's message without the path.

    Example:
        >>> import tempfile
        >>> bad = Path(tempfile.mkdtemp(), "empty.jpg")
        >>> bad.touch()
        >>> [(path.name, reason) for path, reason in check_images([bad], Decoding((8, 8)), show_progress=False)]
        [('empty.jpg', 'the file is empty. Replace it or take it out of the folder.')]
    """

    def reason(path: Path) -> str | None:
        try:
            decode(path.read_bytes(), decoding, name=str(path))
        except UnreadableImageError as error:
            return str(error).removeprefix(f"{path}: ")
        except OSError as error:
            return f"cannot be read: {error.strerror}. Check the file."
        return None

    bad: list[tuple[Path, str]] = []
    with (
        progress("checking", len(paths), show=show_progress) as advance,
        ThreadPoolExecutor(os.cpu_count() or 1) as pool,
    ):
        for path, why in zip(paths, pool.map(reason, paths), strict=True):
            if why is not None:
                bad.append((path, why))
            advance(1)
    return bad


def write_skipped(path: Path, bad: Iterable[tuple[Path, str]]) -> None:
    """Writes the files that are left out and why, as CSV with the columns path and reason, whole or not at all.

    Args:
        path: the CSV file; its folder is made when it is missing. UTF-8, one line per file in the order given.
        bad: from `check_images`; an empty list gives a file with its head only.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp(), "skipped.csv")
        >>> write_skipped(target, [(Path("roses/7.jpg"), "the file is empty.")])
        >>> target.read_text(encoding="utf-8").splitlines()
        ['path,reason', 'roses/7.jpg,the file is empty.']
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("path", "reason"))
        writer.writerows((str(name), reason) for name, reason in bad)
