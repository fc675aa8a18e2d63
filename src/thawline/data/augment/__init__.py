"""Augmentation in two steps: draw numbers, then apply them.

`draw` has the numbers, `geometry` where pixels come from, `colour` what their values become, `standardize` what a
model's input wants on top, `arguments` what a user may write. `augmentation` is where they meet.
"""

from thawline.data.augment.augmentation import Augmentation
from thawline.data.augment.draw import Draw
from thawline.data.augment.geometry import affine_matrix
from thawline.data.augment.standardize import Statistics

__all__ = ["Augmentation", "Draw", "Statistics", "affine_matrix"]
