"""A source is no array: what is said where one is given in place of arrays, to `keras.Model.fit` above all."""

from typing import Any, NoReturn

from thawline.errors import ArgumentError


class NoArray:
    """Images that are no array; `ImageSource` is one.

    Keras takes whatever has `__array__` for arrays, and asks for its `shape` first. It is the one place where its users
    can be told what to give instead: for other data it knows only that it does not know them.
    """

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        raise self._no_array()

    @property
    def shape(self) -> NoReturn:
        """Never: what a batch of images is, `spec` says.

        Raises:
            ArgumentError: always.
        """
        raise self._no_array()

    def _no_array(self) -> ArgumentError:
        return ArgumentError(
            f"{type(self).__name__} is no array. Give keras.Model.fit tl.KerasDataset(images, shuffle=True), evaluate "
            "and predict the same with shuffle=False; Stack.fit takes the images themselves; images.batches() gives "
            "arrays batch by batch."
        )
