"""Files that changed long ago, so that they may be remembered, and their digests."""

import os

import numpy as np
from blake3 import blake3

from thawline.data.decode import Decoding
from thawline.data.sources.pictures import FilePictures

# In 2023, in nanoseconds.
OLD_NS = 1_700_000_000_000_000_000
DECODING = Decoding((8, 8))


def age(paths, time_ns=OLD_NS):
    """Sets the time of the last change."""
    for path in paths:
        os.utime(path, ns=(time_ns, time_ns))


def digests(paths, **options):
    """What a new instance says, as the next process would."""
    return FilePictures(paths, DECODING).digests(np.arange(len(paths)), show_progress=False, **options)


def true_digests(paths):
    return [blake3(path.read_bytes()).digest() for path in paths]
