"""What is found again and what is computed anew, through stack, prefix, options and cache."""

import os

import numpy as np
import pytest
from PIL import Image

from old_files import age
from other_process import tiny_stack
from thawline.backend import keras
from thawline.data import check as check_module
from thawline.data.sources.folder import ImageFolder
from thawline.features.cache import FeatureCache
from thawline.features.extract import extract
from thawline.features.fingerprint import row_key
from thawline.features.opening import open_features
from thawline.features.options import FeatureOptions

IMAGES = 8


@pytest.fixture(autouse=True)
def keras_engine_only():
    """Here every engine is what it is."""


AUGMENT = {"rotation_range": 20, "horizontal_flip": True}


class Project:
    """A folder of images, a stack and a cache; `count` says how many views had to be computed."""

    def __init__(self, folder, cache):
        self.folder = folder
        self.cache = cache
        self.stack = tiny_stack()

    def source(self, augment=None, **options):
        source = ImageFolder(self.folder, **{"image_size": (8, 8), "seed": 1, **options})
        return source.augment(**augment) if augment else source

    def open(self, source, **options):
        """The prefix as one that a new process would have, and the features that it gives for a source."""
        prefix = FeatureOptions(cache=self.cache, **{"engine": "keras", **options}).prefix(self.stack.cut())
        return prefix, open_features(self.cache, prefix, source)

    def count(self, views=1, augment=None, engine="keras", precision="float32", **options):
        source = self.source(augment, **options)
        prefix, features = self.open(source, engine=engine, precision=precision)
        return extract(source, views, prefix, features, show_progress=False).extracted

    def read(self, source, indices):
        _, features = self.open(source)
        digests = source.content_digests()
        return features.read([row_key(digests[index], 0) for index in indices])[0]


@pytest.fixture
def project(image_folder, tmp_path):
    """Images of another size than they are shown in, whose features are stored."""
    made = Project(image_folder(2, count=IMAGES // 2, size=(12, 10)), FeatureCache(tmp_path / "cache"))
    assert made.count() == IMAGES
    assert made.count() == 0
    return made


def write_image(path, seed):
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (12, 10, 3), np.uint8)).save(path)


# -- the images ------------------------------------------------------------------------------------------------


def test_an_image_with_one_other_pixel_is_computed_anew_and_no_other(project):
    path = project.source().paths[3]
    pixels = np.array(Image.open(path))
    pixels[5, 5, 1] ^= 1
    Image.fromarray(pixels).save(path)
    assert project.count() == 1
    source = project.source()
    images = np.stack([source.image(index) for index in range(IMAGES)])
    expected = keras.ops.convert_to_numpy(project.stack.cut().prefix(images, training=False))
    np.testing.assert_allclose(project.read(source, range(IMAGES)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_file_a_class_and_a_folder_that_are_renamed_are_found(project, depth):
    path = project.source().paths[0]
    old = [path, path.parent, project.folder][depth]
    new = old.rename(old.with_name("renamed" + old.suffix))
    project.folder = new if depth == 2 else project.folder
    assert project.count() == 0


def test_a_file_that_is_moved_to_another_class_is_found(project):
    path = project.source().paths[0]
    path.rename(project.folder / "class1" / "moved.png")
    assert project.count() == 0


def test_a_file_that_is_only_touched_is_found(project):
    for path in project.source().paths:
        os.utime(path)
    assert project.count() == 0


def test_ten_new_images_cost_ten_extractions(project):
    for number in range(10):
        write_image(project.folder / "class0" / f"new{number}.png", 100 + number)
    assert project.count() == 10
    assert project.count() == 0


def test_bad_images_are_left_out_and_their_reasons_remembered(project, monkeypatch, files_read):
    write_image(project.folder / "class1" / "cut.png", 7)
    whole = (project.folder / "class1" / "cut.png").read_bytes()
    (project.folder / "class1" / "cut.png").write_bytes(whole[:-40])
    (project.folder / "class1" / "text.png").write_text("no image")
    age(project.folder.rglob("*.png"))
    with pytest.warns(UserWarning, match="2 of 10 images cannot be decoded"):
        first = project.source(on_error="skip")
    prefix, features = project.open(first)
    assert extract(first, 1, prefix, features, show_progress=False).extracted == 0
    assert [path.name for path, _ in first.unreadable] == ["cut.png", "text.png"]
    # The next run, which reads and decodes no image.
    files_read.clear()
    monkeypatch.setattr(check_module, "decode", lambda *given, name: pytest.fail(f"{name} was decoded"))
    with pytest.warns(UserWarning, match="2 of 10 images cannot be decoded"):
        second = project.source(on_error="skip")
    assert extract(second, 1, *project.open(second), show_progress=False).extracted == 0
    assert second.unreadable == first.unreadable
    assert files_read == []


# -- views, decoding, augmentation -----------------------------------------------------------------------------


def test_more_views_cost_the_new_ones_and_fewer_none(project):
    # Augmented features are others than those of the plain images.
    assert project.count(views=2, augment=AUGMENT) == 2 * IMAGES
    assert project.count(views=3, augment=AUGMENT) == IMAGES
    assert project.count(views=1, augment=AUGMENT) == 0


def test_another_value_of_the_augmentation_or_seed_is_computed_anew(project):
    project.count(augment=AUGMENT)
    assert project.count(augment={**AUGMENT, "rotation_range": 21}) == IMAGES
    assert project.count(augment=AUGMENT, seed=2) == IMAGES
    assert project.count(augment=AUGMENT) == 0
    # Without chance the seed says nothing.
    assert project.count(seed=2) == 0


@pytest.mark.parametrize("option", [{"interpolation": "nearest"}, {"resize": "crop"}, {"background": (1, 2, 3)}])
def test_another_decoding_is_computed_anew(project, option):
    assert project.count(**option) == IMAGES
    assert project.count() == 0


def test_another_size_is_computed_anew(project):
    project.stack = tiny_stack(size=(9, 8))
    assert project.count(image_size=(9, 8)) == IMAGES
    project.stack = tiny_stack()
    assert project.count() == 0


# -- the frozen part, and who runs it --------------------------------------------------------------------------


def test_an_edited_weight_of_the_frozen_part_is_computed_anew_and_one_of_the_head_is_not(project):
    head, base = project.stack.stages[1].model, project.stack.stages[0].model
    head.layers[-1].kernel.assign(head.layers[-1].kernel + 1)
    assert project.count() == 0
    kernel = base.layers[0].kernel
    values = keras.ops.convert_to_numpy(kernel).copy()
    before = values[0, 0, 0, 0]
    values[0, 0, 0, 0] = np.nextafter(before, np.float32(1))
    kernel.assign(values)
    assert project.count() == IMAGES
    values[0, 0, 0, 0] = before
    kernel.assign(values)
    assert project.count() == 0


def test_an_equal_stack_finds_what_another_one_stored(project):
    project.stack = tiny_stack()
    assert project.count() == 0
    project.stack = tiny_stack(seed=1)
    assert project.count() == IMAGES


def test_another_precision_or_engine_is_computed_anew(project):
    pytest.importorskip("openvino")
    assert project.count(precision="bfloat16") == IMAGES
    assert project.count(engine="openvino") == IMAGES
    assert [project.count(), project.count(precision="bfloat16"), project.count(engine="openvino")] == [0, 0, 0]
