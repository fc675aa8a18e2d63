"""thawline: train models stacked in series on folders of images.

The output of one model is the input of the next: a pretrained base, a head, perhaps a model that post-processes the
head's answers. What is frozen is found, run once per image and view, and kept; what learns is trained by Keras.

    import thawline as tl

Names are resolved on first use, so that importing the package does not load TensorFlow.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# The public names, and where each one lives.
_HOMES = {
    "Augmentation": "thawline.data.augment",
    "Backbone": "thawline.stack.backbones",
    "FeatureCache": "thawline.features.cache",
    "ImageArrays": "thawline.data.sources.arrays",
    "ImageDataGenerator": "thawline.data.generator.front",
    "ImageFiles": "thawline.data.sources.files",
    "ImageFolder": "thawline.data.sources.folder",
    "ImageFrame": "thawline.data.sources.frame",
    "KerasDataset": "thawline.data.keras_dataset",
    "MLflow": "thawline.training.tracking.mlflow",
    "Phase": "thawline.training.phase",
    "Plan": "thawline.training.planning.plan",
    "Stack": "thawline.facade.stack",
    "Stage": "thawline.stack.stage",
    "TensorBoard": "thawline.training.tracking.tensorboard",
    "TensorSpec": "thawline.specs",
    "ThawlineError": "thawline.errors",
    "backbones": "thawline.stack.backbones",
    "errors": "thawline.errors",
    "load": "thawline.facade.stack",
}

__all__ = sorted(_HOMES)

if TYPE_CHECKING:
    from thawline import errors as errors
    from thawline.data.augment import Augmentation as Augmentation
    from thawline.data.generator.front import ImageDataGenerator as ImageDataGenerator
    from thawline.data.keras_dataset import KerasDataset as KerasDataset
    from thawline.data.sources.arrays import ImageArrays as ImageArrays
    from thawline.data.sources.files import ImageFiles as ImageFiles
    from thawline.data.sources.folder import ImageFolder as ImageFolder
    from thawline.data.sources.frame import ImageFrame as ImageFrame
    from thawline.facade.stack import Stack as Stack
    from thawline.facade.stack import load as load
    from thawline.features.cache import FeatureCache as FeatureCache
    from thawline.specs import TensorSpec as TensorSpec
    from thawline.stack import backbones as backbones
    from thawline.stack.backbones import Backbone as Backbone
    from thawline.stack.stage import Stage as Stage
    from thawline.training.phase import Phase as Phase
    from thawline.training.planning.plan import Plan as Plan
    from thawline.training.tracking.mlflow import MLflow as MLflow
    from thawline.training.tracking.tensorboard import TensorBoard as TensorBoard


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'thawline' has no attribute {name!r}")
    home = import_module(_HOMES[name])
    return home if home.__name__.endswith(f".{name}") else getattr(home, name)


def __dir__() -> list[str]:
    return __all__
