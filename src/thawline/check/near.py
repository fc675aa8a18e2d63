"""Near duplicates: pairs of images that show the same picture, re-encoded, brightened, mirrored or slightly cropped.

What "nearly the same" means depends on the images: two photos of one fabric are alike without being one photo. So both
ways of finding pairs compare with how near neighbours in this data usually are:

- by small pictures alone: 16x16 grey pixels (or their mirror image) that agree far better than those of any usual
  neighbours. It finds copies among textures, where features of a copy may lie as far off as those of another photo.
- by features, confirmed on pixels: neighbours that are nearer than usual, whose small pictures agree once one is moved
  over the other. It finds cropped copies among drawings and photos, where many small pictures agree by their layout.

What is left of the difference of two pictures is compared with what is left between any two of their class, so that
a scene that never changes makes no duplicates.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import cv2
import numpy as np

from thawline.check.nearest import directions, nearest

# Measured with 12 kinds of copies (JPEG of quality 30 and 60, half the size, brighter, darker, mirrored, cropped by 3
# to 10 %, turned by 2 degrees) of 12 images each among 2,000 photos of fabric and 1,861 drawings.

# Usual neighbours are the fifth ones: a picture that is there two or three times does not count as usual.
_USUAL_RANK = 5

# By small pictures alone: so many times the spread (between quartiles) above usual neighbours, and at least this much.
# The spread counts as 0.01 at least, so that nothing is found so where usual neighbours agree to 0.92 or more.
_SPREADS, _LEAST_SPREAD, _LEAST_AGREEMENT = 8.0, 0.01, 0.6

# Of fewer images it is not known well enough what is usual: 20 or 30 photos drawn at random gave false alarms.
_ENOUGH = 60

# By features: at most half as far as usual neighbours, and at least this near.
_NEARER, _LEAST_NEARNESS = 0.5, 0.7

# By features and pixels together: the sum of 1 - cosine and of what is left of the difference of pixels, as a share of
# what is left between any two images of the class. Drawings of one series start at 0.4, most copies end there.
_DIFFERENCE = 0.4

# Whatever features say: small pictures that agree this much, and of whose difference so little is left in colour.
_ALIKE, _LEFT_OVER = 0.97, 0.1

# Copies have about the contrast of their picture; a faint pattern and a strong one are two pictures.
_CONTRASTS = (0.5, 2.0)

# Height and width of the pictures that are compared without being moved.
_SMALL = 16

# Small pictures with less contrast than this (standard deviation, of 255) show the noise of their encoding.
_LEAST_CONTRAST = 2.0

# How far one picture is zoomed before it is moved over the other: a search starts close enough from one of them.
_ZOOMS = (1.0, 0.92, 1.08)
_SEARCH = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 30, 1e-4)

# A crop leaves at least so much of a picture.
_LEAST_OVERLAP = 0.6

# So many other images tell how different two of a class usually are.
_SAMPLE = 8


class NearPair(NamedTuple):
    """Two images that are nearly the same, by their places, and how well their pixels agree (a correlation up to 1)."""

    first: int
    second: int
    agreement: float


def near_pairs(features: np.ndarray, thumbnails: np.ndarray, labels: np.ndarray | None = None) -> list[NearPair]:
    """Pairs of nearly the same images, the most alike first.

    An image is compared with its ten nearest by features and its five nearest by small pictures, so that in a large
    set of copies not every pair is listed. Cost: two searches of `nearest` over 256 numbers and one over d, and some
    milliseconds for each pair that they suggest.

    Args:
        features: float32 (n, d), what the base says of each image.
        thumbnails: uint8 (n, 32, 32, 3), small pictures of them.
        labels: int (n,), or None: images are compared with the usual differences within their class.

    Returns:
        Pairs with first < second, each once.
    """
    if len(features) < 2:
        return []
    small, mirrored = _small(thumbnails), _small(thumbnails[:, :, ::-1])
    pairs, alike = _by_pixels(small, mirrored)
    left_over = dict.fromkeys(alike, _LEFT_OVER) | {
        pair: max(_DIFFERENCE - (1 - cosine), _LEFT_OVER) for pair, cosine in _suggested(features).items()
    }
    suggested = [pair for pair in left_over if pair not in pairs]
    usual = _UsualDifference(thumbnails, labels)

    def confirm(pair: tuple[int, int]) -> float | None:
        first, second = pair
        allowed = left_over[pair] * min(usual(first), usual(second))
        needed = (1 - allowed**2) ** 0.5
        is_mirrored = bool(small[first] @ mirrored[second] > small[first] @ small[second])
        other = thumbnails[second][:, ::-1] if is_mirrored else thumbnails[second]
        found = agreement(thumbnails[first], np.ascontiguousarray(other), enough=needed)
        return found if found >= needed else None

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for pair, found in zip(suggested, pool.map(confirm, suggested), strict=True):
            if found is not None:
                pairs[pair] = found
    return sorted((NearPair(*pair, round(found, 4)) for pair, found in pairs.items()), key=lambda pair: -pair.agreement)


def agreement(first: np.ndarray, second: np.ndarray, *, enough: float = 1.0) -> float:
    """How well two small pictures agree where they overlap, after one is moved over the other: a correlation, -1 to 1.

    Brightness and contrast do not count, unless the contrasts are more than a factor of 2 apart, which gives -1.

    Args:
        first: uint8 (32, 32, 3).
        second: uint8 (32, 32, 3).
        enough: the search stops where this is reached.

    Example:
        >>> picture = np.random.default_rng(0).integers(0, 128, (32, 32, 3), np.uint8)
        >>> agreement(picture, picture + 100)
        1.0
    """
    whole = np.ones(first.shape[:2], bool)
    best = _correlation(first, second, whole)
    for zoom in _ZOOMS:
        if best >= enough:
            break
        best = max(best, _moved_agreement(first, second, zoom))
    return best


def _by_pixels(small: np.ndarray, mirrored: np.ndarray) -> tuple[dict[tuple[int, int], float], set[tuple[int, int]]]:
    """Pairs whose small pictures agree far better than those of usual neighbours, and pairs that are worth a look."""
    straight = nearest(small, _USUAL_RANK)
    flipped = nearest(small, _USUAL_RANK, others=mirrored)
    usual = np.maximum(straight[1][:, -1], flipped[1][:, -1])
    lower, middle, upper = np.quantile(usual, (0.25, 0.5, 0.75))
    least = max(_LEAST_AGREEMENT, middle + _SPREADS * max(upper - lower, _LEAST_SPREAD))
    far_above: dict[tuple[int, int], float] = {}
    alike: set[tuple[int, int]] = set()
    for indices, cosines in (straight, flipped):
        for place, rank in np.argwhere(cosines >= min(least, _ALIKE)).tolist():
            pair, found = _ordered(place, int(indices[place, rank])), min(float(cosines[place, rank]), 1.0)
            if found >= least and len(small) >= _ENOUGH:
                far_above[pair] = max(far_above.get(pair, 0.0), found)
            if found >= _ALIKE:
                alike.add(pair)
    return far_above, alike


def _suggested(features: np.ndarray) -> dict[tuple[int, int], float]:
    """The pairs of neighbours that are much nearer than usual ones, with their cosines."""
    indices, cosines = nearest(directions(features), 10)
    usual = float(np.median(cosines[:, min(_USUAL_RANK, cosines.shape[1]) - 1]))
    least = max(_LEAST_NEARNESS, 1 - _NEARER * (1 - usual))
    near = np.argwhere(cosines >= least).tolist()
    return {_ordered(place, int(indices[place, rank])): float(cosines[place, rank]) for place, rank in near}


class _UsualDifference:
    """What is usually left of the difference between an image and others of its class: 0 for none, 1 for all of it."""

    def __init__(self, thumbnails: np.ndarray, labels: np.ndarray | None) -> None:
        self._thumbnails = thumbnails
        labels = np.zeros(len(thumbnails), int) if labels is None else labels
        random = np.random.default_rng(0)
        self._labels = labels
        self._samples = {
            label: random.permutation(np.flatnonzero(labels == label))[: _SAMPLE + 1] for label in np.unique(labels)
        }

    def __call__(self, place: int) -> float:
        others = [other for other in self._samples[self._labels[place]] if other != place]
        if len(others) < _SAMPLE // 2:
            # Too few to tell, and one of them may be the copy.
            return 1.0
        whole = np.ones(self._thumbnails.shape[1:3], bool)
        found = [_correlation(self._thumbnails[place], self._thumbnails[other], whole) for other in others]
        return float(np.sqrt(1 - np.median(np.clip(found, 0, 1)) ** 2))


def _small(thumbnails: np.ndarray) -> np.ndarray:
    """Grey pictures of 16x16 as vectors of length 1 around their mean, float32 (n, 256); 0 where nothing shows."""
    vectors = np.empty((len(thumbnails), _SMALL * _SMALL), np.float32)
    for place, picture in enumerate(thumbnails):
        grey = np.ascontiguousarray(picture.mean(axis=2, dtype=np.float32))
        vectors[place] = cv2.resize(grey, (_SMALL, _SMALL), interpolation=cv2.INTER_AREA).ravel()
    vectors -= vectors.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: np.ndarray = np.divide(
        vectors, lengths, out=np.zeros_like(vectors), where=lengths > _LEAST_CONTRAST * _SMALL
    )
    return scaled


def _moved_agreement(first: np.ndarray, second: np.ndarray, zoom: float) -> float:
    """How well they agree when the second is moved, turned and stretched over the first; -1 where that fails.

    The movement is the one of the largest enhanced correlation coefficient (Evangelidis and Psarakis, 2008).
    """
    size = first.shape[1], first.shape[0]
    middle = (size[0] - 1) / 2
    start = np.array([[zoom, 0, middle * (1 - zoom)], [0, zoom, middle * (1 - zoom)]], np.float32)
    everywhere = np.full(first.shape[:2], 255, np.uint8)
    try:
        _, movement = cv2.findTransformECC(first, second, start, cv2.MOTION_AFFINE, _SEARCH, everywhere, 3)
    except cv2.error:
        # It does not converge on pictures that have nothing in common.
        return -1.0
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    covered = cv2.warpAffine(everywhere, movement, size, flags=flags) == 255
    if covered.mean() < _LEAST_OVERLAP:
        return -1.0
    return _correlation(first, cv2.warpAffine(second, movement, size, flags=flags), covered)


def _correlation(first: np.ndarray, second: np.ndarray, where: np.ndarray) -> float:
    """The correlation of the pixels of two pictures, all channels together; -1 where their contrasts are far apart.

    It is the smaller one of two: around the mean of all channels, so that colours count, and around the mean of each,
    so that one colour all over is no pattern.
    """
    one, other = first[where].astype(np.float64), second[where].astype(np.float64)
    found = 1.0
    for axis in (None, 0):
        rest, other_rest = one - one.mean(axis=axis), other - other.mean(axis=axis)
        spread, other_spread = float(np.sqrt((rest**2).mean())), float(np.sqrt((other_rest**2).mean()))
        if min(spread, other_spread) < _LEAST_CONTRAST or not _CONTRASTS[0] <= spread / other_spread <= _CONTRASTS[1]:
            return -1.0
        found = min(found, float((rest * other_rest).mean()) / (spread * other_spread))
    return round(found, 6)


def _ordered(first: int, second: int) -> tuple[int, int]:
    return (first, second) if first < second else (second, first)


def across(pairs: Sequence[NearPair], is_validation: np.ndarray) -> list[NearPair]:
    """The pairs of which one image is on each side, the validation image as the second."""
    found = [pair for pair in pairs if is_validation[pair.first] != is_validation[pair.second]]
    return [pair if is_validation[pair.second] else NearPair(pair.second, pair.first, pair.agreement) for pair in found]
