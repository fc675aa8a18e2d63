"""Which files cannot be decoded, found before anything is trained on them."""

import csv
import json
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from thawline import __version__
from thawline.data.decode import Decoding, decode
from thawline.data.file_memory import DIGEST, FileMemory, read_watched
from thawline.data.formats import FORMATS, reason_of
from thawline.errors import UnreadableImageError
from thawline.files import NAMES, replacing
from thawline.progress import progress


def check_images(paths: Sequence[Path], decoding: Decoding, *, show_progress: bool = True) -> list[tuple[Path, str]]:
    """The files that cannot be used, each with the reason, in the order of the paths.

    Every file is read and decoded whole, as training would: a header alone does not show that the rest is cut off.
    It costs what a first epoch's decoding does, and uses all cores. What was found is remembered, with the decoding and
    the versions that found it (see `thawline.data.file_memory`): the next time only new and changed files are read.

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
    memory, topic = FileMemory(), _topic(decoding)
    reasons = memory.recall(paths, topic)
    unknown = list(dict.fromkeys(path for path in paths if path not in reasons))
    with (
        progress("checking", len(unknown), show=show_progress) as advance,
        ThreadPoolExecutor(os.cpu_count() or 1) as pool,
    ):
        try:
            checked = pool.map(lambda path: read_watched(path, lambda path: _check(path, decoding)), unknown)
            for path, (found, stamp) in zip(unknown, checked, strict=True):
                reasons[path] = found.reason.encode(errors="replace")
                if found.is_lasting:
                    memory.keep(stamp, topic, reasons[path])
                    # It was read anyway, and is needed for nearly everything.
                    memory.keep(stamp, DIGEST, found.digest)
                advance(1)
        finally:
            memory.flush()
    return [(path, reasons[path].decode()) for path in paths if reasons[path]]


@dataclass(frozen=True)
class _Found:
    """What a check found: why a file cannot be used, or an empty reason, and whether it will be so the next time."""

    reason: str
    digest: bytes = b""
    is_lasting: bool = False


def _check(path: Path, decoding: Decoding) -> _Found:
    try:
        data = path.read_bytes()
    except OSError as error:
        # Nothing in the file's own status tells when it can be read again.
        return _Found(f"cannot be read: {reason_of(error)}. Check the file.")
    digest = blake3(data).digest()
    try:
        decode(data, decoding, name=str(path))
    except UnreadableImageError as error:
        reason = str(error).removeprefix(f"{path}: ")
        # A machine that was out of memory says nothing about the file.
        return _Found(reason, digest, is_lasting=not isinstance(error.__cause__, MemoryError))
    return _Found("", digest, is_lasting=True)


def _topic(decoding: Decoding) -> bytes:
    """What a check depends on besides the file."""
    depends = {**decoding.identity(), "max_pixels": decoding.max_pixels, "formats": FORMATS, "thawline": __version__}
    return b"check " + json.dumps(depends, sort_keys=True).encode()


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
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", errors=NAMES, newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("path", "reason"))
        writer.writerows((str(name), reason) for name, reason in bad)
