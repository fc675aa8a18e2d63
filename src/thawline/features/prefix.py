"""The frozen part as something that gives features: a graph, and the engine that runs it."""

from typing import Any

from thawline.data.sources.source import ImageSource
from thawline.features.engines import Engine, make_engine
from thawline.features.fingerprint import describe_features, describe_prefix
from thawline.stack.cut import Cut


class Prefix:
    """What lies below a cut, with who runs it.

    The engine is chosen when the first images are there to try it on, and built when something has to be computed:
    where all features are stored, nothing is.

    Args:
        cut: the thaw line, or a candidate below it.
        engine: who runs it, as `Stack.fit` takes it.
        precision: in which numbers.
    """

    def __init__(self, cut: Cut, engine: str = "auto", precision: str = "float32") -> None:
        self.cut = cut
        self._wanted = engine, precision
        self._description = describe_prefix(cut)
        self._engine: Engine | None = None

    def describe(self, source: ImageSource) -> dict[str, Any]:
        """Everything that the features of a source depend on besides the image and the view."""
        return describe_features(self._description, source, self.engine.describe())

    @property
    def engine(self) -> Engine:
        """Who runs it."""
        if self._engine is None:
            self._engine = make_engine("keras", self.cut.prefix)
        return self._engine
