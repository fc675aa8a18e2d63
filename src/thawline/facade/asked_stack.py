"""AskedStack: what can be asked of a stack before it is trained; afterwards it is as it was."""

from collections.abc import Sequence

from thawline.check.check import Check, check
from thawline.data.sources.holder import SourceHolder
from thawline.data.sources.source import ImageSource
from thawline.data.splits import Groups
from thawline.facade.compiled_stack import CompiledStack
from thawline.features.cache import FeatureCache
from thawline.features.options import EngineName, FeatureOptions, Precision, StorageName
from thawline.progress import say
from thawline.training.fit_options import FitOptions
from thawline.training.learning_rate import LearningRateSweep, find_learning_rate
from thawline.training.phase import Phase, make_phases
from thawline.training.plan_fit import plan_fit
from thawline.training.planning.budget import Budget
from thawline.training.planning.plan import Plan
from thawline.training.planning.planner import Measuring
from thawline.training.verify import Verification, verify


class AskedStack(CompiledStack):
    """A compiled stack that says what a training would cost, whether it would go right, and how fast it may learn."""

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
        held_out = None if validation_data is None else self._labelled(validation_data, "plan")
        options = FitOptions(
            features=FeatureOptions(cache, engine, precision, storage),
            budget=Budget(max_disk, max_ram, max_time),
            announce=say if verbose != 0 else None,
        )
        return plan_fit(
            self,
            self._need_compiled("plan"),
            self._labelled(train, "plan"),
            make_phases(epochs, phases, strategy, views),
            validation_data=held_out,
            options=options,
            measuring=measuring,
        )

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
        """Looks for what would spoil a training, before it runs: in images, splits, labels, joints, heads and habits.

        Every image is decoded once. Where a frozen base is there, its features find near duplicates and likely wrong
        labels; they are kept in the cache. Nothing is ever changed.

        Args:
            train: the images to learn from.
            validation_data: the images to measure on; whether they are apart from `train` is looked at, too.
            phases: as in `fit`: what learns in each, by which loss and how fast.
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
        compiled, images = self._need_compiled("verify"), self._labelled(train, "verify")
        announce = say if verbose != 0 else None
        features = FeatureOptions(cache, engine, precision)
        return verify(
            self, compiled, images, phase=phase or Phase(None, 1), steps=steps, features=features, announce=announce
        )

    def find_learning_rate(
        self,
        train: ImageSource | SourceHolder,
        *,
        phase: Phase | None = None,
        lowest: float = 1e-7,
        highest: float = 1.0,
        steps: int = 100,
        cache: FeatureCache | None = None,
        engine: EngineName = "auto",
        precision: Precision = "float32",
        storage: StorageName = "float32",
        verbose: int | str = "auto",
    ) -> LearningRateSweep:
        """Tries rising learning rates for a few steps, and says which one a phase bears.

        Features of the images that are needed are taken from the cache, and those it lacks are added. Afterwards
        weights, optimizer, metrics and random states are what they were. Where a phase goes on from another one, train
        that first: what a base bears depends on the head above it.

        Args:
            train: images with labels; as many are drawn as the steps need.
            phase: what would learn, with which optimizer and loss; by default what is not frozen, as compiled.
            lowest: the first learning rate; layers with a factor in the phase get theirs of it.
            highest: the last one; it ends earlier where the loss rises out of all bounds.
            steps: how many training steps, from 20 up, each with a learning rate larger by the same factor.
            cache, engine, precision, storage: as in `fit`; with the same ones `fit` takes up these features.
            verbose: 0 is silent.

        Returns:
            The rates with their losses; print it. `suggested` is the one to take, or None where the loss neither fell
            nor rose; `plot("rates.svg")` draws them.

        Raises:
            ArgumentError: not compiled, or an argument that cannot work.
            JointError: images or labels do not fit the stack.
            NothingToLearnError: everything is frozen.
            DivergedError: the loss is no finite number with the lowest rate already.

        Example:
            >>> print(stack.find_learning_rate(train))  # doctest: +SKIP
            100 steps of 32 images by adam, learning rates from 1.0e-07 to 1.0e+00:
              loss falls fastest    at 2.1e-03
              loss is lowest        at 4.6e-03 (0.795, from 1.22), a tenth of which is 4.6e-04
              loss is above that    from 7.6e-02, a tenth of which is 7.6e-03
              suggested             4.6e-04, where it falls, well below where it is lowest
        """
        return find_learning_rate(
            self,
            self._need_compiled("find_learning_rate"),
            self._labelled(train, "find_learning_rate"),
            phase=phase or Phase(None, 1),
            lowest=lowest,
            highest=highest,
            steps=steps,
            features=FeatureOptions(cache, engine, precision, storage),
            show_progress=verbose != 0,
        )
