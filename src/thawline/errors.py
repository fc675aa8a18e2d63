"""Every error thawline raises on purpose, as one tree.

    ThawlineError
    ├── ArgumentError            an argument has a value that cannot work          (also ValueError)
    │   └── BudgetError          no way to run fits the disk, memory or time that is allowed
    ├── MissingDependencyError   a package is not installed                        (also ImportError)
    ├── DataError                images or labels are not as they should be        (also ValueError)
    │   ├── FolderNotFoundError  the folder does not exist                         (also FileNotFoundError)
    │   ├── UnreadableImageError a file cannot be decoded
    │   └── ImageChangedError    a file is not the one that was scanned
    ├── JointError               two neighbours in the stack do not fit            (also ValueError)
    ├── NothingToLearnError      no weight would be trained                        (also ValueError)
    ├── FrozenWeightsMovedError  a frozen weight changed                           (also RuntimeError)
    ├── DivergedError            loss or weights stopped being finite numbers      (also ArithmeticError)
    ├── WeightsError             pretrained weights are missing or not the ones expected (also ValueError)
    ├── CacheError               the feature cache cannot be used                  (also RuntimeError)
    │   ├── CacheFullError       no room is left for features                      (also OSError)
    │   └── CacheDamagedError    what is kept cannot be read any more
    ├── EngineError              an engine cannot run the frozen part, or not well enough (also RuntimeError)
    ├── ExportError              a stack cannot leave the house in a format, or not as it is (also RuntimeError)
    ├── RecipeError              a recipe is not valid                             (also ValueError)
    └── RunError                 a run folder is not what was expected             (also RuntimeError)

Each message names the thing, what was expected, what came, and the next move. ``exit_code`` is what
the command line returns: 2 when the request itself is wrong, 1 when the work found something wrong.
"""


class ThawlineError(Exception):
    """The root of all errors that thawline raises on purpose."""

    exit_code = 1


class ArgumentError(ThawlineError, ValueError):
    """An argument has a value that cannot work."""

    exit_code = 2


class BudgetError(ArgumentError):
    """No way to run fits the disk, the memory or the time that is allowed."""


class MissingDependencyError(ThawlineError, ImportError):
    """A package that is needed for this is not installed."""

    exit_code = 2


class DataError(ThawlineError, ValueError):
    """Images or labels are not as they should be."""


class FolderNotFoundError(DataError, FileNotFoundError):
    """The folder of images does not exist."""

    exit_code = 2


class UnreadableImageError(DataError):
    """A file cannot be decoded as an image."""


class ImageChangedError(DataError):
    """A file is no longer the one that was scanned."""


class JointError(ThawlineError, ValueError):
    """Two neighbours in the stack do not fit: shape, dtype or value range."""


class NothingToLearnError(ThawlineError, ValueError):
    """No weight would be trained."""


class FrozenWeightsMovedError(ThawlineError, RuntimeError):
    """A frozen weight changed during training."""


class DivergedError(ThawlineError, ArithmeticError):
    """The loss or a weight became NaN or infinite during training."""


class WeightsError(ThawlineError, ValueError):
    """Pretrained weights are missing, or are not the ones expected."""


class CacheError(ThawlineError, RuntimeError):
    """The feature cache cannot be used."""


class CacheFullError(CacheError, OSError):
    """No room is left for features; what is stored stays."""


class CacheDamagedError(CacheError):
    """What is kept cannot be read any more."""


class EngineError(ThawlineError, RuntimeError):
    """An engine cannot run the frozen part here, or its answers are too far from Keras'."""


class ExportError(ThawlineError, RuntimeError):
    """A stack cannot be exported in a format, or the artefact does not answer as the stack does."""


class RecipeError(ThawlineError, ValueError):
    """A recipe is not valid."""

    exit_code = 2


class RunError(ThawlineError, RuntimeError):
    """A run folder is not what was expected."""

    exit_code = 2
