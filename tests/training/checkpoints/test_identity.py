"""Identity: a training goes on only with the images, classes and views that it began with."""

import numpy as np
import pytest
from blake3 import blake3

from thawline.data.sources.folder import ImageFolder
from thawline.training.checkpoints.identity import describe_source

SIZE = {"image_size": (8, 8)}


def as_before(source):
    """The images of a source as 0.1 described them: by the digests of all, copies included."""
    content = blake3(b"".join(source.content_digests()))
    content.update(source.target_content())
    return content.hexdigest()


def test_images_without_copies_are_described_as_before(image_folder):
    source = ImageFolder(image_folder({"a": 2, "b": 2}), **SIZE)
    for same in (source, source.augment(rotation_range=30), source.select([0, 0, 1])):
        assert describe_source(same)["images"] == as_before(same)


def test_copies_that_were_augmented_alike_are_not_gone_on_with(image_folder):
    source = ImageFolder(image_folder({"a": 2, "b": 2}), **SIZE).select([0, 0, 1, 2, 3]).augment(rotation_range=30)
    assert describe_source(source)["images"] != as_before(source)


def test_a_class_folder_without_images_that_had_no_number_is_not_gone_on_with(image_folder):
    folder = image_folder({"a": 2, "b": 0, "c": 2})
    then = ImageFolder(folder, classes=["a", "c"], **SIZE)
    with pytest.warns(UserWarning, match="without images: b"):
        now = ImageFolder(folder, **SIZE)
    np.testing.assert_array_equal(then.paths, now.paths)
    assert describe_source(then)["images"] != describe_source(now)["images"]
