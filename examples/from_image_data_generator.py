"""A classic script for ImageDataGenerator with only its import changed.

It is what countless tutorials show: two generators, a small convolutional network, `fit`. The only line that changed:

    from tensorflow.keras.preprocessing.image import ImageDataGenerator    # before
    from thawline import ImageDataGenerator                                # now

Epochs are the iterator's: `steps_per_epoch` is left out, as Keras 3 would cut every second epoch short with it. To get
the pixels of Keras' generator, add legacy=True.

    python examples/from_image_data_generator.py [--limit IMAGES_PER_CLASS] [--epochs N]
"""

import argparse
import tempfile
from pathlib import Path

import keras
from keras import layers

from thawline import ImageDataGenerator
from thawline.cli.demo import fabric_photos

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--limit", type=int, default=200, help="images per class, the first ones")
parser.add_argument("--epochs", type=int, default=5)
options = parser.parse_args()


def first_images(folder: Path, limit: int, copy: Path) -> Path:
    """A folder of links to the first images of each class."""
    for class_folder in sorted(path for path in folder.iterdir() if path.is_dir()):
        (copy / class_folder.name).mkdir()
        for path in sorted(class_folder.iterdir())[:limit]:
            (copy / class_folder.name / path.name).symlink_to(path)
    return copy


with tempfile.TemporaryDirectory() as temporary:
    data_dir = first_images(fabric_photos(), options.limit, Path(temporary))
    img_width, img_height = 150, 150
    batch_size = 16

    datagen = ImageDataGenerator(
        rescale=1.0 / 255, shear_range=10, zoom_range=0.2, horizontal_flip=True, validation_split=0.2
    )
    train_generator = datagen.flow_from_directory(
        data_dir,
        target_size=(img_height, img_width),
        batch_size=batch_size,
        class_mode="categorical",
        subset="training",
        seed=7,
    )
    validation_generator = datagen.flow_from_directory(
        data_dir,
        target_size=(img_height, img_width),
        batch_size=batch_size,
        class_mode="categorical",
        subset="validation",
        shuffle=False,
    )
    print(f"{train_generator.samples} training and {validation_generator.samples} validation images")
    print(train_generator.class_indices)

    model = keras.Sequential(
        [
            keras.Input((img_height, img_width, 3)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(train_generator.num_classes, activation="softmax"),
        ]
    )
    model.compile(loss="categorical_crossentropy", optimizer="rmsprop", metrics=["accuracy"])
    history = model.fit(train_generator, epochs=options.epochs, validation_data=validation_generator, verbose=2)

    answers = model.predict(validation_generator, verbose=0)
    right = (answers.argmax(axis=1) == validation_generator.classes).mean()
    print(f"validation accuracy {right:.3f} of {len(answers)} images after {len(history.epoch)} epochs")
