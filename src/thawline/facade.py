"""Stack: stages in series as users hold them, with one method for each thing to do."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from thawline.backend import keras
from thawline.check.check import Check, check
from thawline.data.sources.holder import SourceHolder, as_source, is_shuffled
from thawline.data.sources.source import ImageSource
from thawline.data.splits import Groups
from thawline.errors import ArgumentError
from thawline.features.cache import FeatureCache
from thawline.features.options import EngineName, FeatureOptions, Precision, StorageName
from thawline.progress import say
from thawline.stack.series import StageSeries, load_series
from thawline.stack.stage import Stage
from thawline.training.answer import evaluate, predict
from thawline.training.budget import Budget
from thawline.training.compiled import Compiled
from thawline.training.fit import FitOptions, fit, plan_fit
from thawline.training.phase import Phase
from thawline.training.plan import Plan
from thawline.training.planning import Measuring
from thawline.training.verify import Verification, verify


class Stack(StageSeries):
    """Models stacked in series, trained on folders of images.

    Build it from stages, `compile` it as a Keras model, `fit` it. What is frozen is found and, by the default
    strategy, run once per image and view instead of in every epoch.

    Args:
        stages: the stages in order; the first takes images.

    Raises:
        ArgumentError: no stages, a name twice, or a first stage whose image size is not known.
        JointError: two neighbours do not fit in shape, dtype or value range.

    Example:
        >>> import keras
        >>> base = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Conv2D(8, 3)])
        >>> head = keras.Sequential([keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(5, "softmax")])
        >>> stack = Stack([Stage(base, "base", trainable=False, value_range=(0, 1)), Stage(head, "head")])
        >>> stack.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
        >>> stack.output_spec.shape
        (None, 5)
    """

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
            ArgumentError: steps_per_execution is neither a whole number from 1 up nor "auto".
        """
        is_free_in_steps = steps_per_execution == "auto"
        if not is_free_in_steps and not (isinstance(steps_per_execution, int) and steps_per_execution > 0):
            raise ArgumentError(
                f"steps_per_execution is a whole number from 1 up, or 'auto'; got {steps_per_execution!r}."
            )
        options = {
            "loss": loss,
            "loss_weights": loss_weights,
            "metrics": metrics,
            "weighted_metrics": weighted_metrics,
            "run_eagerly": run_eagerly,
            "steps_per_execution": 1 if is_free_in_steps else steps_per_execution,
            "jit_compile": False if jit_compile == "auto" else jit_compile,
        }
        self._compiled = Compiled(keras.optimizers.get(optimizer), options, is_free_in_steps)
        self.model.compile(optimizer=self._compiled.optimizer, **options)

    def fit(
        self,
        train: ImageSource | SourceHolder,
        *,
        validation_data: ImageSource | SourceHolder | None = None,
        epochs: int | None = None,
        phases: Sequence[Phase] = (),
        strategy: str = "auto",
        views: int | None = None,
        cache: FeatureCache | None = None,
        engine: EngineName = "auto",
        precision: Precision = "float32",
        storage: StorageName = "float32",
        class_weight: Mapping[int, float] | None = None,
        callbacks: Sequence[Any] = (),
        shuffle: bool | None = None,
        verbose: int | str = "auto",
        checkpoint: str | os.PathLike[str] | None = None,
        max_disk: float | None = None,
        max_ram: float | None = None,
        max_time: float | None = None,
        plan: Plan | None = None,
    ) -> Any:
        """Trains what is not frozen.

        Every image is used exactly once per epoch. With the same seed, data, weights and views all strategies give
        the same losses, metrics and weights.

        Args:
            train: the images to learn from: a source, or what `ImageDataGenerator.flow*` give.
            validation_data: images to measure on after each epoch, without augmentation.
            epochs: how many epochs; 1 by default. Or give phases.
            phases: spans of epochs with a set of learning layers each; see `Phase` for what else a phase may have.
            strategy: "joint", "precomputed", "streamed", or "auto": joint when nothing is frozen, else precomputed, or
                whatever is faster by a forecast, see `plan`. Speeds are measured for that, in about four seconds, where
                minutes depend on it; they are remembered.
            views: distinct augmented views of each image; epoch e shows view e mod views. By default up to 4 for
                precomputed, else one per epoch.
            cache: where features are kept; by default the user's cache folder.
            engine: who runs the frozen part: "keras", bit-equal to the whole stack in each step; "openvino" (`pip
                install 'thawline[openvino]'`), about twice as fast and equal to 1e-4 or better, which is measured on
                your images beforehand; "auto" for openvino where it is installed, agrees and is faster.
            precision: "float32", or "bfloat16" for twice the speed where the processor knows it: the features then
                differ by about 1e-2, and how far their directions agree is measured beforehand.
            storage: as which numbers features are kept: "float32", "float16", "bfloat16", or "auto" for the smallest
                that costs no accuracy on a sample.
            class_weight: weights of the loss by class number.
            callbacks: any Keras callbacks; their model is the whole stack's, `stack.model`.
            shuffle: whether each epoch has an order of its own; by default it has, unless `flow*` got shuffle=False.
            verbose: 0 silent, 1 or "auto" thawline's progress on stderr, 2 one line per epoch by Keras.
            checkpoint: a folder in which the state before each phase and after each epoch is kept. The same call
                continues from it, when it was interrupted.
            max_disk: bytes of disk that a phase's features may take; by default nine tenths of what is free. Where
                those of the thaw line do not fit, the model is cut earlier, or nothing is kept; the plan says so.
            max_ram: bytes of memory that a phase's features and batches may take; by default a quarter of what is free.
            max_time: seconds that all phases together may take by their forecast; else it is an error beforehand.
            plan: what `Stack.plan` gave for this stack and these phases, maybe in another process.

        Returns:
            `keras.callbacks.History` over all epochs, NaN where a phase lacks a figure that another one has;
            `history.phases` says for each phase its first and last epoch, strategy, views and what learned,
            `history.record` what was planned, extracted and how long it took.

        Raises:
            ArgumentError: not compiled, or an argument that cannot work.
            JointError: images, labels or a loss do not fit the stages.
            NothingToLearnError: everything is frozen.
            CacheFullError: strategy="precomputed" has no room for its features.
            BudgetError: no way to train fits the memory or the time that is allowed.
            DivergedError: the loss or a weight became NaN or infinite; the weights are those of the last good epoch.
            FrozenWeightsMovedError: a frozen weight changed.
        """
        options = FitOptions(
            features=FeatureOptions(cache, engine, precision, storage),
            class_weight=class_weight,
            callbacks=tuple(callbacks),
            shuffle=is_shuffled(train) if shuffle is None else shuffle,
            verbose=verbose,
            checkpoint=None if checkpoint is None else Path(checkpoint),
            announce=say,
            budget=Budget(max_disk, max_ram, max_time),
            plan=plan,
        )
        spans = _spans(epochs, phases, strategy, views)
        compiled = self._need_compiled("fit")
        held_out = None if validation_data is None else self._source(validation_data, "validation_data")
        return fit(self, compiled, self._source(train, "fit"), spans, validation_data=held_out, options=options)

    def plan(
        self,
        train: ImageSource | SourceHolder,
        *,
        validation_data: ImageSource | SourceHolder | None = None,
        epochs: int | None = None,
        phases: Sequence[Phase] = (),
        strategy: str = "auto",
        views: int | None = None,
        cache: FeatureCache | None = None,
        engine: EngineName = "auto",
        precision: Precision = "float32",
        storage: StorageName = "float32",
        max_disk: float | None = None,
        max_ram: float | None = None,
        max_time: float | None = None,
        measuring: Measuring = "always",
        verbose: int | str = "auto",
    ) -> Plan:
        """What a training would cost by each strategy, and which one `fit` would take; nothing is trained.

        Speeds are measured on a few real batches, in a few seconds, and remembered for this machine, stack and kind of
        images: the next plan takes no time. Afterwards the stack is as it was. What is in the cache already counts as
        done.

        Args:
            train, validation_data, epochs, phases, strategy, views: as in `fit`.
            cache, engine, precision, storage: as in `fit`.
            max_disk, max_ram, max_time: as in `fit`; what does not fit is ruled out, and the plan says why.
            measuring: "always" where speeds are not remembered, "worthwhile" only where minutes depend on it, as `fit`
                does, or "never".
            verbose: 0 is silent.

        Returns:
            The plan; print it, `save` it, or give it to `fit(plan=...)`. Its `phases` have the figures, and
            `what_if(views, epochs)` says what others would cost.

        Raises:
            ArgumentError: not compiled, or an argument that cannot work.
            BudgetError: no way to train fits the budget.
            JointError: images, labels or a loss do not fit the stages.
            NothingToLearnError: everything is frozen.

        Example:
            >>> print(stack.plan(train, validation_data=val, epochs=20))  # doctest: +SKIP
        """
        held_out = None if validation_data is None else self._source(validation_data, "plan")
        options = FitOptions(
            features=FeatureOptions(cache, engine, precision, storage),
            budget=Budget(max_disk, max_ram, max_time),
            announce=say if verbose != 0 else None,
        )
        return plan_fit(
            self,
            self._need_compiled("plan"),
            self._source(train, "plan"),
            _spans(epochs, phases, strategy, views),
            validation_data=held_out,
            options=options,
            measuring=measuring,
        )

    def verify(
        self,
        train: ImageSource | SourceHolder,
        *,
        phase: Phase | None = None,
        steps: int = 8,
        cache: FeatureCache | None = None,
        engine: EngineName = "keras",
        precision: Precision = "float32",
        verbose: int | str = "auto",
    ) -> Verification:
        """Trains a few steps by each strategy, from the same weights, and says whether they agree.

        Afterwards the stack is as it was. Images are taken as `train` gives them, augmentation included; two epochs
        are trained, so that views change and short batches come.

        Args:
            train: images with labels; the first ones are used.
            phase: what learns, with which optimizer and loss; by default what is not frozen, as compiled.
            steps: how many steps by each strategy, from 2 up.
            cache: where features are kept; by default a folder that is deleted afterwards.
            engine: as in `fit`, but Keras by default, so that what differs is not the engine.
            precision: as in `fit`.
            verbose: 0 is silent.

        Returns:
            What was found; print it. `is_bit_equal` says whether losses and weights have the same bits, `largest` is
            the largest relative difference, `reason` where it comes from.

        Raises:
            ArgumentError: not compiled, or an argument that cannot work.
            JointError: images or labels do not fit the stack.
            NothingToLearnError: nothing is frozen, or everything.

        Example:
            >>> print(stack.verify(train))  # doctest: +SKIP
            8 steps of 32 images by each strategy, 2 epochs, 2 views:
              joint and precomputed      bit-equal
              joint and streamed         bit-equal
              precomputed and streamed   bit-equal
        """
        compiled, images = self._need_compiled("verify"), self._source(train, "verify")
        announce = say if verbose != 0 else None
        features = FeatureOptions(cache, engine, precision)
        return verify(
            self, compiled, images, phase=phase or Phase(None, 1), steps=steps, features=features, announce=announce
        )

    def evaluate(
        self,
        data: ImageSource | SourceHolder,
        *,
        strategy: str = "auto",
        cache: FeatureCache | None = None,
        engine: EngineName = "auto",
        precision: Precision = "float32",
        storage: StorageName = "float32",
        return_dict: bool = False,
        verbose: int | str = "auto",
    ) -> Any:
        """Loss and metrics over all images, without augmentation.

        Args:
            data: images with labels.
            strategy: as in `fit`; "auto" takes features from the cache and adds those it lacks.
            cache, engine, precision, storage: as in `fit`; with the same ones its features serve again.
            return_dict: True gives {name: value} instead of a list, as in Keras.
            verbose: 0 is silent.

        Returns:
            A list with the loss and the metrics in the order of `compile`, or a dictionary.
        """
        compiled, images = self._need_compiled("evaluate"), self._source(data, "evaluate")
        features = FeatureOptions(cache, engine, precision, storage)
        answers = evaluate(self, compiled, images, strategy=strategy, features=features, show_progress=verbose != 0)
        return answers if return_dict else list(answers.values())

    def predict(
        self,
        data: ImageSource | SourceHolder,
        *,
        strategy: str = "joint",
        cache: FeatureCache | None = None,
        engine: EngineName = "auto",
        precision: Precision = "float32",
        storage: StorageName = "float32",
        verbose: int | str = "auto",
    ) -> np.ndarray:
        """The last stage's answers, float32 (n, ...), in the order of the images, without augmentation.

        An image that cannot be decoded is an error; with the source's on_error="skip" its row is NaN and `unreadable`
        lists it.

        Args:
            data: images, with labels or without.
            strategy: "joint" runs the whole stack and keeps nothing; "precomputed" uses the cache.
            cache, engine, precision, storage: as in `fit`; with the same ones its features serve again.
            verbose: 0 is silent.
        """
        images = self._source(data, "predict")
        features = FeatureOptions(cache, engine, precision, storage)
        return predict(self, images, strategy=strategy, features=features, show_progress=verbose != 0)

    def check(
        self,
        train: ImageSource | SourceHolder,
        validation_data: ImageSource | SourceHolder | None = None,
        *,
        phases: Sequence[Phase] = (),
        groups: Groups | None = None,
        cache: FeatureCache | None = None,
        engine: EngineName = "auto",
        verbose: int | str = "auto",
    ) -> Check:
        """Looks for what would spoil a training, before it runs: in images, splits, labels, joints and heads.

        Every image is decoded once. Where a frozen base is there, its features find near duplicates and likely wrong
        labels; they are kept in the cache. Nothing is ever changed.

        Args:
            train: the images to learn from.
            validation_data: the images to measure on; whether they are apart from `train` is looked at, too.
            phases: as in `fit`, for losses and metrics of their own.
            groups: what must be on one side, as `split` takes it.
            cache: where features are kept.
            engine: as in `fit`.
            verbose: 0 is silent.

        Returns:
            The findings, the worst first, each with a code, a severity, the evidence and what to do; print it.

        Example:
            >>> print(stack.check(train, val))  # doctest: +SKIP
            error    split-same-image: 3 images are on both sides, first roses/0042.jpg. ...
            1 error in 2,000 images and the stack (14.2 s)
        """
        held_out = None if validation_data is None else self._source(validation_data, "check")
        return check(
            self.stages,
            self._source(train, "check"),
            held_out,
            compiled=self._compiled,
            phases=phases,
            groups=groups,
            features=FeatureOptions(cache, engine),
            show_progress=verbose != 0,
        )

    def _source(self, images: ImageSource | SourceHolder, place: str) -> ImageSource:
        """The images as the first stage takes them: as pixels, where the stack scales those itself."""
        return as_source(images, place, self.stages[0].value_range)

    def _need_compiled(self, method: str) -> Compiled:
        if self._compiled is None:
            raise ArgumentError(f"Call compile(optimizer=..., loss=...) before {method}().")
        return self._compiled


def _spans(epochs: int | None, phases: Sequence[Phase], strategy: str, views: int | None) -> Sequence[Phase]:
    """The phases of a training, however it was asked for."""
    if phases and epochs is not None:
        raise ArgumentError("Give epochs or phases, not both: each phase has its own epochs.")
    if phases and (strategy != "auto" or views is not None):
        raise ArgumentError("With phases, strategy and views belong to each Phase.")
    return phases or [Phase(None, 1 if epochs is None else epochs, strategy=strategy, views=views)]


def load(path: str | os.PathLike[str]) -> Stack:
    """A stack as `Stack.save` left it: stages, weights, class names and, when it was compiled, the optimizer.

    The file is read in Keras' safe mode: nothing in it is executed.

    Raises:
        ArgumentError: there is no such file, or thawline did not save it.

    Example:
        >>> stack = load("flowers.keras")  # doctest: +SKIP
    """
    stages, class_names, model = load_series(path)
    stack = Stack(stages)
    stack.class_names = class_names
    if model.compiled:
        config = keras.saving.deserialize_keras_object(model.get_compile_config())
        optimizer = model.optimizer
        # Keras has no word for "auto".
        steps = "auto" if config["steps_per_execution"] == 1 else config["steps_per_execution"]
        stack.compile(**{**config, "optimizer": optimizer, "steps_per_execution": steps})
        if optimizer.built and stack._compiled is not None:
            stack._compiled.optimized = tuple(id(variable) for variable in stack.model.trainable_variables)
    return stack
