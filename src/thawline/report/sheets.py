"""Sheets of pictures from images and their answers: what was augmented, mistaken, uncertain, and looked at."""

from typing import Any

import numpy as np

from thawline.data.captions import caption
from thawline.data.sources.source import ImageSource
from thawline.errors import ArgumentError
from thawline.report.grad_cam import heat_maps, overlay
from thawline.report.scores import confidences, margins, predicted_classes
from thawline.report.selection import UNCERTAIN_MARGIN, most_uncertain, surest_right, worst_mistakes
from thawline.report.value import Picture, PicturePair, Sheet

# Enough to judge an augmentation by, small enough to mail.
_AUGMENTED_IMAGES, _AUGMENTED_VIEWS, _SHOWN = 6, 4, 12

# Images that are explained: mistakes, and right answers beside them.
_EXPLAINED = 4


def augmented_sheet(source: ImageSource) -> Sheet:
    """A few images spread over the source, some views of each, as a model sees them."""
    pictures = [
        picture
        for index in range(0, len(source), -(-len(source) // _AUGMENTED_IMAGES))
        for view in range(_AUGMENTED_VIEWS)
        for picture in _pictures(source, index, f"{caption(source, index)}, view {view}", view)
    ]
    return Sheet("Augmented images", "Images as the model saw them in training.", pictures)


def mistakes_sheet(source: ImageSource, answers: np.ndarray) -> Sheet:
    """Images that were answered wrong, the surest first."""
    chosen = worst_mistakes(answers, source.known_labels, _SHOWN)
    text = "Held-out images that were answered wrong, the surest answers first."
    return Sheet("Worst mistakes", text if chosen else "There were none.", _answered(source, answers, chosen))


def uncertain_sheet(source: ImageSource, answers: np.ndarray) -> Sheet:
    """Images for which the two likeliest classes were nearly as likely; none whose answer was clear."""
    apart = margins(answers)
    pictures = [
        picture
        for index in most_uncertain(answers, _SHOWN)
        for picture in _pictures(
            source, index, f"{_describe(source, answers, index)}, the next one {100 * apart[index]:.1f} % behind"
        )
    ]
    points = f"{100 * UNCERTAIN_MARGIN:.0f} percentage points"
    text = (
        f"Held-out images for which the two likeliest classes were less than {points} apart; worth a look at their "
        "labels."
    )
    none = f"There were none: for every held-out image the answer was {points} or more ahead of the next one."
    return Sheet("Most uncertain", text if pictures else none, pictures)


def attention_sheet(model: Any, source: ImageSource, answers: np.ndarray) -> Sheet:
    """Some mistakes and some right answers, each beside the places that spoke for the answer.

    Args:
        model: the joined Keras model of the stack.
        source: the images.
        answers: what the model answers for each.
    """
    title, labels = "What spoke for the answer", source.known_labels
    chosen = [*worst_mistakes(answers, labels, _EXPLAINED), *surest_right(answers, labels, _EXPLAINED)]
    shown = [(index, picture) for index in chosen for picture in _pictures(source, index, caption(source, index))]
    if not shown:
        return Sheet(title, "There are no images to look at.")
    images = np.stack([source.image(index) for index, _ in shown]).astype(np.float32)
    try:
        heats = heat_maps(model, images, predicted_classes(answers)[[index for index, _ in shown]])
    except ArgumentError as reason:
        return Sheet(title, f"This is left out. {reason}")
    pairs = [
        PicturePair(
            picture,
            Picture(overlay(picture.pixels, heat), f"{picture.caption}, what spoke for the answer"),
            _describe(source, answers, index),
        )
        for (index, picture), heat in zip(shown, heats, strict=True)
    ]
    text = (
        "Mistakes first, then right answers. The brighter, the more a place of the last feature map spoke for the "
        "answer (Grad-CAM, Selvaraju et al. 2017)."
    )
    return Sheet(title, text, pairs)


def _answered(source: ImageSource, answers: np.ndarray, chosen: list[int]) -> list[Picture]:
    return [picture for index in chosen for picture in _pictures(source, index, _describe(source, answers, index))]


def _describe(source: ImageSource, answers: np.ndarray, index: int) -> str:
    """The file, its class, and what it was called."""
    names, label = source.class_names, int(source.known_labels[index])
    answer, sure = int(predicted_classes(answers[[index]])[0]), float(confidences(answers[[index]])[0])
    called = "right" if answer == label else f"called {names[answer]}"
    return f"{caption(source, index)}: {names[label]}, {called} ({100 * sure:.0f} %)"


def _pictures(source: ImageSource, index: int, caption: str, view: int = 0) -> list[Picture]:
    """One picture, or none where the image went bad and is left out."""
    made = source.attempt(source.picture, index, view)
    return [] if made is None else [Picture(made[0], caption)]
