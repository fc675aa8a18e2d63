"""Several views of one image: each bit for bit what `picture` gives, with one decoding."""

import numpy as np
import pytest

import thawline as tl
from thawline.data.sources import pictures as module

ARGUMENTS = [
    {},
    {"horizontal_flip": True, "vertical_flip": True},
    {"rotation_range": 30, "zoom_range": 0.3, "shear_range": 10, "width_shift_range": 0.2, "fill_mode": "reflect"},
    {"brightness_range": (0.5, 1.5), "contrast_range": (0.5, 1.5), "hue_range": 0.2, "channel_shift_range": 30},
    {"erasing_probability": 0.7},
    {"noise_range": (0, 20), "blur_range": (0, 2)},
    {"crop_area_range": (0.3, 1)},
    {"rescale": 1 / 255, "horizontal_flip": True},
]


@pytest.fixture
def decoded(monkeypatch):
    """The files that were decoded."""
    names = []
    decode = module.decode
    monkeypatch.setattr(module, "decode", lambda *given, name: (names.append(name), decode(*given, name=name))[1])
    return names


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=lambda arguments: " ".join(arguments) or "none")
@pytest.mark.parametrize("mode", ["off", "ram"])
def test_views_are_what_picture_gives_of_each(arguments, mode, image_folder, decoded):
    source = tl.ImageFolder(image_folder(2, count=2, size=(30, 40)), image_size=(20, 24), seed=5)
    source = source.augment(**arguments).cache_pixels(mode)
    wanted = [3, 0, 1, 7, 3]
    expected = [source.picture(2, view)[0] for view in wanted]
    decoded.clear()
    found = source.views(2, wanted)
    assert len(decoded) == (1 if mode == "off" else 0)
    assert [view.dtype for view in found] == [np.uint8] * 5
    np.testing.assert_array_equal(found, expected)
    if arguments:
        assert len({view.tobytes() for view in found}) > 1


def test_no_views_are_none(image_folder):
    assert tl.ImageFolder(image_folder(), image_size=(8, 8)).views(0, []) == []
