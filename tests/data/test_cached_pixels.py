"""A source with its pixels kept gives what it gives without."""

import numpy as np
import pytest

import thawline as tl
from thawline.data.sources import pictures as module


@pytest.mark.parametrize("mode", ["off", "ram", "disk", "auto"])
def test_batches_are_the_same_and_files_are_decoded_once(mode, image_folder, monkeypatch):
    plain = tl.ImageFolder(image_folder(2, count=4, size=(9, 9)), image_size=(8, 8), batch_size=3, seed=2)
    plain = plain.augment(rotation_range=20, brightness_range=(0.8, 1.2))
    usual = [[batch.images for batch in plain.batches(epoch)] for epoch in range(3)]
    decoded = []
    decode = module.decode
    monkeypatch.setattr(module, "decode", lambda *given, **named: (decoded.append(1), decode(*given, **named))[1])
    kept = plain.cache_pixels(mode)
    for epoch in range(3):
        for image, again in zip(usual[epoch], (batch.images for batch in kept.batches(epoch)), strict=True):
            assert np.array_equal(image, again)
    assert len(decoded) == (24 if mode == "off" else 8)
