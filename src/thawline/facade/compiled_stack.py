"""CompiledStack: stages in series that know how they are trained."""

from collections.abc import Sequence
from typing import Any, Literal

from thawline.arguments import as_whole
from thawline.data.sources.holder import SourceHolder, as_source
from thawline.data.sources.source import ImageSource
from thawline.errors import ArgumentError
from thawline.stack.series import StageSeries
from thawline.stack.stage import Stage
from thawline.training.compiled import Compiled
from thawline.training.keras_names import KINDS, check_names
from thawline.training.naming import named_as
from thawline.training.optimizers import find_optimizer


class CompiledStack(StageSeries):
    """What every method of a stack starts from: how it was compiled, and images as it takes them."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        super().__init__(stages)
        self._compiled: Compiled | None = None

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        *,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int | Literal["auto"] = "auto",
        jit_compile: bool | str = "auto",
    ) -> None:
        """Says how to train; arguments as in `keras.Model.compile`.

        `jit_compile="auto"` means False here: XLA moves the last bits of features, and the strategies would no
        longer give equal results. `steps_per_execution="auto"` takes several training steps at once where only the time
        is another: with `precomputed` on light heads, unless a callback looks at batches or images may be left out.

        Raises:
            ArgumentError: Keras has no optimizer, loss or metric of a name, or steps_per_execution is neither a whole
                number from 1 up nor "auto".
        """
        is_free_in_steps = isinstance(steps_per_execution, str) and steps_per_execution == "auto"
        steps = 1 if is_free_in_steps else as_whole(steps_per_execution) or 0
        if steps < 1:
            raise ArgumentError(
                f"steps_per_execution is a whole number from 1 up, or 'auto'; got {steps_per_execution!r}."
            )
        options = {
            "loss": loss,
            "loss_weights": loss_weights,
            "metrics": metrics,
            "weighted_metrics": weighted_metrics,
            "run_eagerly": run_eagerly,
            "steps_per_execution": steps,
            "jit_compile": False if jit_compile == "auto" else jit_compile,
        }
        for name, kind in (("loss", "loss"), ("metrics", "metric"), ("weighted_metrics", "metric")):
            check_names(options[name], KINDS[kind], "compile()")
        self._compiled = Compiled(find_optimizer(optimizer, "compile()"), options, is_free_in_steps)
        self.model.compile(optimizer=self._compiled.optimizer, **options)

    def _notes(self) -> dict[str, Any]:
        """Notes for a file of the stack beside the model: Keras knows no "auto" for the steps."""
        compiled = self._compiled
        if compiled is None:
            return super()._notes()
        steps = "auto" if compiled.is_free_in_steps else compiled.options["steps_per_execution"]
        return {**super()._notes(), "steps_per_execution": steps}

    def _source(self, images: ImageSource | SourceHolder, place: str) -> ImageSource:
        """The images as the first stage takes them: as pixels, where the stack scales those itself."""
        return as_source(images, place, self.stages[0].value_range)

    def _labelled(self, images: ImageSource | SourceHolder, place: str) -> ImageSource:
        """The images with the classes in the order of the stack's, where it was trained on named ones."""
        return named_as(self._source(images, place), self)

    def _need_compiled(self, method: str) -> Compiled:
        if self._compiled is None:
            raise ArgumentError(f"Call compile(optimizer=..., loss=...) before {method}().")
        return self._compiled
