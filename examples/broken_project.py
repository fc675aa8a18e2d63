"""A project with 15 mistakes planted, and how many of them `check` finds; then its repaired twin.

    python examples/broken_project.py [--per-class N]

Fabric photos in two classes, a folder for training and one for validation, and a head on EfficientNet-Lite0. First the
stack is checked as it is; when its mistakes are mended, the images are compared by what the base says of them.
"""

import argparse
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import keras
import numpy as np
from PIL import Image

import thawline as tl
from thawline.check.check import Check
from thawline.cli.demo import fabric_photos

CLASSES = ("global", "nominal")
SIZE = 224


@dataclass(frozen=True)
class Mistake:
    """A mistake that was planted.

    Attributes:
        name: in words.
        codes: the findings that would name it.
        paths: the files it is in; empty for one of the stack.
    """

    name: str
    codes: tuple[str, ...]
    paths: tuple[Path, ...] = ()


def copy_photos(folder: Path, per_class: int) -> None:
    """Photos of two classes: four fifths for training, the rest for validation."""
    for name in CLASSES:
        photos = sorted((fabric_photos() / name).glob("*.jpg"))[:per_class]
        for number, photo in enumerate(photos):
            target = folder / ("validation" if number % 5 == 4 else "train") / name / photo.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(photo, target)


def plant(folder: Path) -> list[Mistake]:
    """Spoils the folder in twelve ways; gives what was done."""
    train, validation = folder / "train", folder / "validation"
    nominal = sorted((train / "nominal").iterdir())
    other = sorted((train / "global").iterdir())
    planted = []

    def spoil(name: str, code: str, path: Path, how: Callable[[Image.Image], None]) -> None:
        with Image.open(path) as image:
            image.load()
        path.unlink()
        how(image)
        planted.append(Mistake(name, (code,), (path,)))

    text = nominal[0]
    text.write_text("not an image")
    planted.append(Mistake("a text that is called an image", ("image-unreadable",), (text,)))
    cut = nominal[1]
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 2 // 3])
    planted.append(Mistake("a file that is cut off", ("image-truncated", "image-unreadable"), (cut,)))
    spoil("a PNG that is called .jpg", "image-wrong-extension", nominal[2], lambda image: image.save(nominal[2], "PNG"))
    deep = nominal[3].with_suffix(".png")
    cv2.imwrite(str(deep), cv2.imread(str(nominal[3]), cv2.IMREAD_GRAYSCALE).astype(np.uint16) * 257)
    nominal[3].unlink()
    planted.append(Mistake("an image of 16 bits", ("image-16-bit",), (deep,)))
    turned = nominal[4]
    exif = Image.Exif()
    exif[0x0112] = 6
    spoil("an image that the camera turned", "image-turned", turned, lambda image: image.save(turned, exif=exif))
    tiny = nominal[5]
    spoil("an image of 40 pixels", "image-tiny", tiny, lambda image: image.resize((40, 40)).save(tiny))
    clear = nominal[13].with_suffix(".png")
    with Image.open(nominal[13]) as image:
        image.putalpha(Image.linear_gradient("L").resize(image.size))
        image.save(clear)
    nominal[13].unlink()
    planted.append(Mistake("an image with transparent parts", ("image-transparent",), (clear,)))
    (train / "spare").mkdir()
    planted.append(Mistake("a class without images", ("class-empty",)))

    same = validation / "nominal" / "another_name.jpg"
    shutil.copy(nominal[6], same)
    planted.append(Mistake("an image on both sides", ("split-same-image",), (same,)))
    two_labels = train / "global" / "also_nominal.jpg"
    shutil.copy(nominal[7], two_labels)
    planted.append(Mistake("an image with two labels", ("label-conflict",), (two_labels,)))
    planted.append(
        Mistake("five near duplicates across sides", ("split-near-duplicate",), _plant_near(nominal, validation))
    )
    swapped = (train / "global" / nominal[20].name, train / "nominal" / other[20].name)
    nominal[20].rename(swapped[0].with_name(f"swapped_{swapped[0].name}"))
    other[20].rename(swapped[1].with_name(f"swapped_{swapped[1].name}"))
    paths = tuple(path.with_name(f"swapped_{path.name}") for path in swapped)
    planted.append(Mistake("two swapped labels", ("label-suspect",), paths))
    return planted


def _plant_near(photos: list[Path], validation: Path) -> tuple[Path, ...]:
    """Training photos on the validation side: encoded anew, brighter, mirrored, smaller, cut at the edges."""
    made = []
    for number in range(5):
        image = cv2.imread(str(photos[8 + number]))
        height, width = image.shape[:2]
        edge = round(0.03 * height)
        image = (
            image,
            cv2.convertScaleAbs(image, alpha=1.1, beta=5),
            image[:, ::-1],
            cv2.resize(image, (width // 2, height // 2), interpolation=cv2.INTER_AREA),
            image[edge:-edge, edge:-edge],
        )[number]
        made.append(validation / "nominal" / f"near_{number}.jpg")
        cv2.imwrite(str(made[-1]), image, [cv2.IMWRITE_JPEG_QUALITY, 60])
    return tuple(made)


def build(*, is_broken: bool, class_count: int) -> tl.Stack:
    """A head on EfficientNet-Lite0; broken: pixels scaled twice, images far too small, a loss for another head."""
    side = 64 if is_broken else SIZE
    base = tl.backbones.build("efficientnet_lite0", image_size=(side, side), pooling="avg")
    if is_broken:
        base = keras.Sequential([keras.Input((side, side, 3)), keras.layers.Rescaling(1 / 127.5, offset=-1), base])
    head = keras.Sequential([keras.layers.Dense(class_count, "softmax")])
    value_range = tl.backbones.find("efficientnet_lite0").value_range
    stack = tl.Stack([tl.Stage(base, "base", trainable=False, value_range=value_range), tl.Stage(head, "head")])
    stack.compile("adam", "binary_crossentropy" if is_broken else "categorical_crossentropy", metrics=["accuracy"])
    return stack


STACK_MISTAKES = [
    Mistake("pixels are scaled twice", ("joint-scaled-twice", "joint-preprocessing")),
    Mistake("images far smaller than the base knows", ("joint-image-size",)),
    Mistake("softmax with a loss for single classes", ("head-softmax-binary",)),
]


def check(folder: Path, cache: Path, *, is_broken: bool) -> Check:
    """What a check of the folder with one of the stacks finds."""
    side = 64 if is_broken else SIZE
    train, validation = (tl.ImageFolder(folder / part, image_size=(side, side)) for part in ("train", "validation"))
    stack = build(is_broken=is_broken, class_count=len(CLASSES))
    return stack.check(train, validation, cache=tl.FeatureCache(cache), verbose=0)


def is_found(mistake: Mistake, checks: list[Check]) -> bool:
    """Whether a finding of the right kind names all files of a mistake."""
    named = {
        path.resolve()
        for check in checks
        for finding in check.findings
        if finding.code in mistake.codes
        for path in finding.paths
    }
    has_code = any(finding.code in mistake.codes for check in checks for finding in check.findings)
    return has_code and {path.resolve() for path in mistake.paths} <= named


def main() -> None:
    """Plants, checks, mends, checks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--per-class", type=int, default=120, help="photos of each class")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_photos(folder / "twin", options.per_class)
        copy_photos(folder / "broken", options.per_class)
        planted = [*plant(folder / "broken"), *STACK_MISTAKES]
        print("-- the project as it is")
        broken = check(folder / "broken", folder / "cache", is_broken=True)
        print(broken)
        print("\n-- with its stack mended")
        mended = check(folder / "broken", folder / "cache", is_broken=False)
        print(mended)
        print("\n-- its repaired twin")
        twin = check(folder / "twin", folder / "cache", is_broken=False)
        print(twin)
    missed = [mistake.name for mistake in planted if not is_found(mistake, [broken, mended])]
    print(f"\n{len(planted) - len(missed)} of {len(planted)} planted mistakes found")
    for name in missed:
        print(f"missed: {name}")
    print(f"{len(twin.findings)} false alarms on the repaired twin")


if __name__ == "__main__":
    main()
