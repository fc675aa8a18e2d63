"""Pictures for checks: parts of photos, all different; weaves, all alike; and plain features of them."""

import cv2
import numpy as np
import skimage.data

from thawline.check.facts import thumbnail

_PHOTOS = (
    skimage.data.astronaut,
    skimage.data.coffee,
    skimage.data.chelsea,
    skimage.data.rocket,
    skimage.data.immunohistochemistry,
    skimage.data.hubble_deep_field,
)


def photos(count, size=96):
    """Parts of photos that do not overlap, uint8 (count, size, size, 3)."""
    found = []
    for load in _PHOTOS:
        whole = load()
        for top in range(0, whole.shape[0] - size + 1, size):
            for left in range(0, whole.shape[1] - size + 1, size):
                found.append(whole[top : top + size, left : left + size])
    return np.stack([found[place] for place in np.random.default_rng(0).permutation(len(found))[:count]])


def weaves(count, size=96, seed=0):
    """Photos of one cloth at different places: the same threads, other unevenness, uint8 (count, size, size, 3)."""
    random = np.random.default_rng(seed)
    across = np.sin(np.arange(size) * 2 * np.pi / 6)
    threads = 120 + 30 * across[:, None] * across
    grey = threads + random.normal(0, 25, (count, size, size))
    return np.repeat(grey.clip(0, 255).astype(np.uint8)[..., None], 3, axis=3)


def describe(pictures):
    """Plain features, float32 (n, 80): colours of 4 x 4 places, and how much there is of each of 32 brightnesses."""
    rows = []
    for picture in pictures:
        places = cv2.resize(np.ascontiguousarray(picture), (4, 4), interpolation=cv2.INTER_AREA).ravel() / 255
        amounts = np.histogram(picture.mean(axis=2), 32, (0, 256))[0] / picture[..., 0].size
        rows.append(np.concatenate([places, amounts]))
    return np.array(rows, np.float32)


def thumbnails(pictures):
    return np.stack([thumbnail(picture) for picture in pictures])


def as_jpeg(picture, quality):
    encoded = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1]


def cropped(picture, share):
    """Without a strip along every edge that makes `share` of each side together, at the old size."""
    height, width = picture.shape[:2]
    top, left = round(height * share / 2), round(width * share / 2)
    part = np.ascontiguousarray(picture[top : height - top, left : width - left])
    return cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR)


COPIES = {
    "encoded anew": lambda picture: as_jpeg(picture, 60),
    "brighter": lambda picture: (picture * 1.15 + 5).clip(0, 255).astype(np.uint8),
    "darker": lambda picture: (picture * 0.75).astype(np.uint8),
    "mirrored": lambda picture: picture[:, ::-1],
    "cropped": lambda picture: cropped(picture, 0.05),
    "cropped, brighter and encoded anew": lambda picture: as_jpeg(
        (cropped(picture, 0.04) * 1.1).clip(0, 255).astype(np.uint8), 70
    ),
}
