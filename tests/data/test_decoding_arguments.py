"""All sources that read files take the same decoding arguments, and hand every one of them on."""

from dataclasses import fields
from inspect import signature

import numpy as np
import pytest

from thawline.data.decode import Decoding, decode
from thawline.data.sources.files import ImageFiles
from thawline.data.sources.folder import ImageFolder
from thawline.data.sources.frame import ImageFrame

OPTIONS = {field.name: field.default for field in fields(Decoding) if field.repr and field.name != "image_size"}
OTHERS = {
    "color_mode": "grayscale",
    "interpolation": "nearest",
    "resize": "pad",
    "background": (1, 2, 3),
    "fast_jpeg": True,
    "file_range": (0, 4095),
}


@pytest.fixture
def sources(image_folder):
    """Each kind of source over the same two photos, 32 pixels wide, made with the given options."""
    folder = image_folder(2, count=1, size=(24, 32), ending=".jpg")
    (folder / "table.csv").write_text("filename,class\nclass0/000.jpg,class0\nclass1/000.jpg,class1\n")

    def make(**options):
        return [
            ImageFolder(folder, **options),
            ImageFrame(folder / "table.csv", **options),
            ImageFiles([folder / "class0", folder / "class1"], **options),
        ]

    return make


@pytest.mark.parametrize("kind", [ImageFolder, ImageFrame, ImageFiles])
def test_every_source_has_the_arguments_and_defaults_of_the_decoder(kind):
    parameters = signature(kind).parameters
    assert {name: parameters[name].default for name in OPTIONS} == OPTIONS
    assert parameters["image_size"].default == (256, 256)


@pytest.mark.parametrize("name", OPTIONS)
def test_every_source_decodes_as_its_arguments_say(sources, name):
    decoding = Decoding((6, 6), **{name: OTHERS[name]})
    for source in sources(image_size=(6, 6), **{name: OTHERS[name]}):
        assert source.pictures.decoding == decoding
        for index, path in enumerate(source.paths):
            np.testing.assert_array_equal(source.image(index), decode(path.read_bytes(), decoding))


def test_fast_jpeg_gives_other_pixels_close_by(sources):
    for fast, slow in zip(sources(image_size=(6, 8), fast_jpeg=True), sources(image_size=(6, 8)), strict=True):
        difference = np.abs(fast.image(0).astype(int) - slow.image(0))
        assert 0 < difference.max() < 40
