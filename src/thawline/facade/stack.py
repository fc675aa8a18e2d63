"""Stack: stages in series as users hold them, with one method for each thing to do."""

import os
from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any, Literal, Never

import numpy as np

from thawline.data.reading import describe_reading
from thawline.data.sources.holder import SourceHolder, is_shuffled
from thawline.data.sources.source import ImageSource
from thawline.errors import ArgumentError
from thawline.export.export import Exported, ExportOptions, export, refuse_bad
from thawline.export.golden import source_images
from thawline.facade.asked_stack import AskedStack
from thawline.features.cache import FeatureCache
from thawline.features.options import EngineName, FeatureOptions, Precision, StorageName
from thawline.progress import say
from thawline.stack.saved_file import read_stack
from thawline.training.answer import evaluate, predict
from thawline.training.callbacks import as_callbacks
from thawline.training.checkpoints.every import as_seconds
from thawline.training.class_weight import weights_by_number
from thawline.training.fit import fit
from thawline.training.fit_options import FitOptions
from thawline.training.keras_words import refuse_words
from thawline.training.naming import named_as
from thawline.training.phase import Phase, make_phases
from thawline.training.planning.budget import Budget
from thawline.training.planning.plan import Plan
from thawline.training.run_folder.run import RunFolder
from thawline.training.tracking.tracker import Tracker


class Stack(AskedStack):
    """Models stacked in series, trained on folders of images.

    Build it from stages, `compile` it as a Keras model, `fit` it. What is frozen is found and, by the default
    strategy, run once per image and view instead of in every epoch.

    Args:
        stages: the stages in order; the first takes images.

    Raises:
        ArgumentError: no stages, a stage name or a model twice, or a first stage whose image size is not known.
        JointError: two neighbours do not fit in shape, dtype or value range.

    Example:
        >>> import keras
        >>> from thawline import Stage
        >>> base = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Conv2D(8, 3)])
        >>> head = keras.Sequential([keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(5, "softmax")])
        >>> stack = Stack([Stage(base, "base", trainable=False, value_range=(0, 1)), Stage(head, "head")])
        >>> stack.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
        >>> stack.output_spec.shape
        (None, 5)
    """

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
        class_weight: Mapping[Any, Any] | Literal["balanced"] | None = None,
        callbacks: Any = (),
        shuffle: bool | None = None,
        verbose: int | str = "auto",
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: float | str | None = "5min",
        max_disk: float | None = None,
        max_ram: float | None = None,
        max_time: float | None = None,
        plan: Plan | None = None,
        tracking: Sequence[Tracker] = (),
        **keras_words: Never,
    ) -> Any:
        """Trains what is not frozen.

        Every image is used exactly once per epoch. With the same seed, data, weights and views all strategies give
        the same losses, metrics and weights.

        A stack that was trained on named classes keeps their order: classes of other images are found by name. For
        other classes build a stack with a new head, or set `stack.class_names = ()`.

        Args:
            train: the images to learn from: a source, or what `ImageDataGenerator.flow*` give.
            validation_data: images to measure on after each epoch, without augmentation. Their classes are found by
                name; those that are trained on as well, as far as that is known without reading files, are warned of.
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
            class_weight: weights of the loss by class name or number; "balanced" gives every class the same say, as
                `train.class_weights()` does. Of several outputs a dictionary of these by output.
            callbacks: any Keras callbacks, one or several; their model is the whole stack's, `stack.model`. All phases
                are one training to them, with one begin and one end, but EarlyStopping and ReduceLROnPlateau begin
                afresh in every phase. In place of BackupAndRestore give `checkpoint`.
            shuffle: whether each epoch has an order of its own; by default it has, unless `flow*` got shuffle=False.
            verbose: 0 silent, 1 or "auto" thawline's progress on stderr, 2 one line per epoch by Keras.
            checkpoint: a folder in which the state is kept before each phase, after each epoch and within it. The same
                call continues from it, when it was interrupted, and ends with the same weights: what learned,
                optimizer, random numbers and the state of callbacks are kept, without pickle. A callback of yours may
                say what is to be kept with `get_state()` and `set_state(state)`, plain values; otherwise its attributes
                that change are. Beside it lie `phase-1-best.keras` and `phase-1-last.keras`, for each phase that is
                over.
            checkpoint_every: how often the state is kept within an epoch, too: seconds, or a time like "30s", "5min" or
                "1h". What is lost when a training is killed is at most that, the writing and one step. None keeps it
                between epochs only.
            max_disk: bytes of disk that a phase's features may take; by default nine tenths of what is free. Where
                those of the thaw line do not fit, the model is cut earlier, or nothing is kept; the plan says so.
            max_ram: bytes of memory that a phase's features and batches may take; by default a quarter of what is free.
            max_time: seconds that all phases together may take by their forecast; else it is an error beforehand.
            plan: what `Stack.plan` gave for this stack and these phases, maybe in another process.
            tracking: who else is told of the epochs, like `[tl.TensorBoard("logs"), tl.MLflow("mlruns", "flowers")]`.
            **keras_words: nothing; what Keras' `fit` has beside these, like steps_per_epoch, is refused with what to do
                in its place.

        Returns:
            `keras.callbacks.History` over all epochs, NaN where a phase lacks a figure that another one has;
            `history.phases` says for each phase its first and last epoch, strategy, views and what learned,
            `history.record` what was planned, extracted and how long it took.

        Raises:
            ArgumentError: not compiled, or an argument that cannot work.
            DataError: images have a class that the stack, or the training images, do not know.
            JointError: images, labels or a loss do not fit the stages.
            NothingToLearnError: everything is frozen.
            CacheFullError: strategy="precomputed" has no room for its features.
            BudgetError: no way to train fits the memory or the time that is allowed.
            DivergedError: the loss or a weight became NaN or infinite; the weights are those of the last good epoch.
            FrozenWeightsMovedError: a frozen weight changed.
        """
        if keras_words:
            refuse_words(keras_words, signature(self.fit).parameters, self._source(train, "fit"))
        given = self._source(train, "fit")
        images = named_as(given, self)
        options = FitOptions(
            features=FeatureOptions(cache, engine, precision, storage),
            class_weight=weights_by_number(class_weight, given, images),
            callbacks=as_callbacks(callbacks, "fit()"),
            shuffle=is_shuffled(train) if shuffle is None else shuffle,
            verbose=verbose,
            checkpoint=None if checkpoint is None else Path(checkpoint),
            checkpoint_every_s=None if checkpoint_every is None else as_seconds("checkpoint_every", checkpoint_every),
            announce=say,
            tracking=tuple(tracking),
            budget=Budget(max_disk, max_ram, max_time),
            plan=plan,
        )
        spans = make_phases(epochs, phases, strategy, views)
        compiled = self._need_compiled("fit")
        held_out = None if validation_data is None else self._labelled(validation_data, "validation_data")
        return fit(self, compiled, images, spans, validation_data=held_out, options=options)

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
        callbacks: Any = (),
        verbose: int | str = "auto",
    ) -> Any:
        """Loss and metrics over all images, without augmentation.

        Classes are found by name, in whatever order the images have them; one that they lack is a class without images.
        Images that were trained on are not looked for, as a stack keeps no list of them; `thawline evaluate` does that.

        Args:
            data: images with labels.
            strategy: as in `fit`; "auto" takes features from the cache and adds those it lacks.
            cache, engine, precision, storage: as in `fit`; with the same ones its features serve again.
            return_dict: True gives {name: value} instead of a list, as in Keras.
            callbacks: Keras callbacks, one or several, that are told of the measuring; their model is `stack.model`.
            verbose: 0 is silent.

        Returns:
            A list with the loss and the metrics in the order of `compile`, or a dictionary.

        Raises:
            ArgumentError: not compiled, or an argument that cannot work.
            DataError: the images have a class that the stack does not know.
            JointError: images or labels do not fit the stages.
        """
        compiled, images = self._need_compiled("evaluate"), self._labelled(data, "evaluate")
        features = FeatureOptions(cache, engine, precision, storage)
        answers = evaluate(
            self,
            compiled,
            images,
            strategy=strategy,
            features=features,
            callbacks=as_callbacks(callbacks, "evaluate()"),
            show_progress=verbose != 0,
        )
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
    ) -> Any:
        """The last stage's answers, float32 (n, ...), in the order of the images, without augmentation.

        Where the last stage has several outputs, a dictionary or a list of arrays, as it gives them.

        Classes are in the order of `class_names` of the stack, whatever order the images have them in.

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

    def export(
        self,
        path: str | os.PathLike[str],
        formats: Sequence[str] = ("saved_model",),
        *,
        images: ImageSource | SourceHolder | None = None,
        golden: Sequence[str | os.PathLike[str] | np.ndarray] | None = None,
        verify: bool = True,
        card: Mapping[str, Any] | None = None,
        verbose: int | str = "auto",
    ) -> list[Exported]:
        """Writes models that others use without thawline: scaling inside, and in a SavedModel decoding, too.

        Each format gets a folder `path/<format>` with the model, artefact.json, a small reader.py, a certificate and a
        model card. What is frozen is exported as well; augmentation never is.

        Args:
            path: where the folders go.
            formats: "saved_model" (bytes of image files to answers), "keras", "onnx", "litert", "openvino" (uint8
                images of one size to answers).
            images: images as they are read in use; by default as `fit` read them.
            golden: held-out images to verify on, files or uint8 arrays; by default up to 200 of `images`.
            verify: whether answers of each model, in its own runtime and process, are compared with the stack's.
            card: what the model card may say, like {"data": ..., "metrics": {...}, "limits": [...], "license": ...}.
            verbose: 0 is silent.

        Returns:
            What was exported, one for each format; print them.

        Raises:
            ArgumentError: how images are read is not known, or a format is not.
            ExportError: the stack cannot be exported in a format, or an artefact does not answer as the stack does:
                it lies in `path/<format>-unverified` then.
            MissingDependencyError: a format needs a package that is not installed.

        Example:
            >>> stack.export("flowers-serving", ["saved_model", "onnx"], images=val)  # doctest: +SKIP
        """
        source = None if images is None else self._source(images, "export")
        reading = self.reading if source is None else describe_reading(source)
        if reading is None:
            raise ArgumentError(
                "Nothing is known of how images are read. Give export(images=...), like those of fit()."
            )
        held_out = golden if golden is not None else () if source is None else source_images(source)
        options = ExportOptions(
            golden=[each if isinstance(each, np.ndarray) else Path(each) for each in held_out],
            verifies=verify,
            facts=card or {},
            announce=say if verbose != 0 else None,
        )
        exported = export(self, Path(path), formats, reading=reading, options=options)
        return refuse_bad(exported)


def load(
    path: str | os.PathLike[str],
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Stack:
    """A stack as it was saved: stages, weights, class names, what learns and, when it was compiled, the optimizer.

    Args:
        path: a file of `Stack.save`, of `keras.callbacks.ModelCheckpoint` in `Stack.fit`, or of another way to save
            `stack.model`; or the folder of a run, for its `stack.keras`.
        custom_objects: functions and classes that are not Keras' own, by their names, as in
            `keras.saving.load_model`: {"focal": focal}.
        compile: False leaves out loss, metrics and optimizer, which answers do without.
        safe_mode: True executes nothing that is in the file; False also runs lambdas, for files that you trust.

    Raises:
        ArgumentError: there is no such file, it holds no stack, or an object in it is neither Keras' own nor given.

    Example:
        >>> stack = load("flowers.keras")  # doctest: +SKIP
    """
    saved = read_stack(_file_of(path), custom_objects, compile=compile, safe_mode=safe_mode)
    stack = Stack(saved.stages)
    stack.class_names, stack.output_class_names = saved.notes["class_names"], saved.notes["output_class_names"]
    stack.reading = saved.notes["reading"]
    if saved.compiled is not None:
        steps = saved.notes["steps_per_execution"]
        if steps is None:
            # Keras has no word for "auto", nor have files of thawline 0.1.0.
            steps = "auto" if saved.compiled["steps_per_execution"] == 1 else saved.compiled["steps_per_execution"]
        stack.compile(**{**saved.compiled, "steps_per_execution": steps})
        if stack._compiled is not None:
            stack._compiled.optimized = tuple(id(variable) for variable in stack.model.trainable_variables)
    return stack


def _file_of(path: str | os.PathLike[str]) -> Path:
    """The file of a stack, also where the folder of its run is given."""
    given = Path(path)
    if not given.is_dir():
        return given
    file = RunFolder(given).stack_path
    if file.is_file():
        return file
    others = sorted(str(each.relative_to(given)) for each in given.rglob("*.keras") if not each.name.startswith("."))
    found = f"It has {', '.join(others[:4])}: give the path of one of them." if others else "Give a .keras file."
    raise ArgumentError(
        f"{str(given)!r} is a folder without {file.name}, which a run writes when its training is over. {found}"
    )
