"""The generators that scripts import, one after the other."""

import pytest
from keras.src.legacy.preprocessing.image import ImageDataGenerator as KerasGenerator

import thawline as tl


class Ours(tl.ImageDataGenerator):
    """A generator under its own name, so that a script need not say which it is."""


class Legacy(tl.ImageDataGenerator):
    """The pixels of Keras, for scripts that do not say so."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options, legacy=True)


@pytest.fixture(params=[KerasGenerator, Ours, Legacy], ids=["keras", "default", "legacy"])
def generator(request):
    """The class that a script imports."""
    return request.param
