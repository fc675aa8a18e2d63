"""Cases of findings about images, classes, splits and labels."""

from pathlib import Path

import numpy as np

from photos import as_jpeg, describe, photos
from thawline.check import classes, images, splits
from thawline.check.facts import ImageFacts, Survey, survey
from thawline.check.neighbours import check_neighbours
from thawline.data.sources.arrays import ImageArrays


def facts(**changes):
    return [ImageFacts(Path("a/1.jpg"), **{"width": 100, "height": 100, "format": "JPEG", **changes})]


def looked(*pixel_digests):
    pictures = tuple(
        ImageFacts(Path(f"{number}.jpg"), pixel_digest=digest) for number, digest in enumerate(pixel_digests)
    )
    return Survey(pictures, np.zeros((len(pictures), 32, 32, 3), np.uint8))


def near_duplicates(is_wrong):
    pictures = photos(24)
    extra = as_jpeg(pictures[3], 60) if is_wrong else photos(25)[24]
    sides = [pictures[:16], np.concatenate([pictures[16:], extra[None]])]
    train, validation = (ImageArrays(side) for side in sides)
    looks = [survey(source, show_progress=False) for source in (train, validation)]
    return check_neighbours(train, validation, *map(describe, sides), *looks)


def same_but_for_the_label(is_wrong):
    pictures = np.concatenate([photos(24), as_jpeg(photos(24)[4], 60)[None]])
    train = ImageArrays(pictures, ["even", "odd"] * 12 + ["odd" if is_wrong else "even"])
    return check_neighbours(train, None, describe(pictures), None, survey(train, show_progress=False), None)


def swapped_labels(is_wrong):
    """Twelve images of each of two classes, whose features lie around a centre each."""
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], 12)
    features = (np.eye(8)[labels] * 5 + random.normal(0, 0.1, (24, 8))).astype(np.float32)
    if is_wrong:
        labels[3] = 1
    train = ImageArrays(random.integers(0, 256, (24, 8, 8, 3), np.uint8), labels)
    return check_neighbours(train, None, features, None, survey(train, show_progress=False), None)


CASES = {
    "image-unreadable": lambda is_wrong: images.find_unreadable(
        facts(problem="the file is empty" if is_wrong else None)
    ),
    "image-truncated": lambda is_wrong: images.find_truncated(facts(doubt="a gap of zeros" if is_wrong else None)),
    "image-wrong-extension": lambda is_wrong: images.find_wrong_extensions(facts(format="PNG" if is_wrong else "JPEG")),
    "image-blank": lambda is_wrong: images.find_blank(facts(spread=2 if is_wrong else 3)),
    "image-16-bit": lambda is_wrong: images.find_deep(facts(bits=16 if is_wrong else 8)),
    "image-cmyk": lambda is_wrong: images.find_cmyk(facts(is_cmyk=is_wrong)),
    "image-transparent": lambda is_wrong: images.find_transparent(facts(is_transparent=is_wrong), (255, 255, 255)),
    "image-turned": lambda is_wrong: images.find_turned(facts(is_turned=is_wrong)),
    "image-tiny": lambda is_wrong: images.find_tiny(facts(), (201, 201) if is_wrong else (200, 200)),
    "image-huge": lambda is_wrong: images.find_huge(facts(width=2000, height=2000 if is_wrong else 1999), (200, 200)),
    "image-aspect": lambda is_wrong: images.find_aspects(facts(width=170 if is_wrong else 169), (64, 64), "stretch"),
    "image-twice": lambda is_wrong: splits.find_twice(looked(b"one", b"one" if is_wrong else b"other"), "training"),
    "class-empty": lambda is_wrong: classes.find_empty({"rose": 3, "tulip": 0 if is_wrong else 1}),
    "class-names-alike": lambda is_wrong: classes.find_alike(["rose", "Roses" if is_wrong else "tulip"]),
    "class-balance": lambda is_wrong: classes.find_imbalance({"rose": 10, "tulip": 3 if is_wrong else 4}),
    "split-same-image": lambda is_wrong: splits.find_same_images(
        looked(b"one"), looked(b"one" if is_wrong else b"two")
    ),
    "split-group-torn": lambda is_wrong: splits.find_torn_groups(
        ["ann"], ["ann" if is_wrong else "bob"], [Path("1.jpg")]
    ),
    "split-label-order": lambda is_wrong: splits.find_classes_apart(
        ["cat", "dog"], {"dog": 1, "cat": 1} if is_wrong else {"cat": 1, "dog": 1}
    ),
    "split-classes-differ": lambda is_wrong: splits.find_classes_apart(
        ["cat", "dog"], {"cat": 1, "eel" if is_wrong else "dog": 1}
    ),
    "split-class-missing": lambda is_wrong: splits.find_missing_classes({"cat": 2}, {"cat": 0 if is_wrong else 1}),
    "split-near-duplicate": near_duplicates,
    "label-conflict": lambda is_wrong: splits.find_conflicts(
        [Path("1.jpg"), Path("2.jpg")], [b"one", b"one"], ["cat", "dog" if is_wrong else "cat"]
    ),
    "label-near-duplicate": same_but_for_the_label,
    "label-suspect": swapped_labels,
}
