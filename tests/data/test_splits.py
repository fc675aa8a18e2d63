"""Splits: the same image on the same side, whatever else is there."""

import shutil

import numpy as np
import pytest

from thawline.data.sources.arrays import ImageArrays
from thawline.data.sources.folder import ImageFolder
from thawline.data.sources.frame import ImageFrame
from thawline.errors import ArgumentError, DataError

PIXELS = np.random.default_rng(2).integers(0, 256, (400, 4, 4, 3), dtype=np.uint8)


def source_of(chosen=slice(None), *, seed=0, classes=4):
    numbers = np.arange(len(PIXELS))[chosen] % classes
    return ImageArrays(PIXELS[chosen], numbers, seed=seed, class_names=list("abcd")[:classes])


def sides_of(parts, key):
    return {key(part, index): number for number, part in enumerate(parts) for index in range(len(part))}


def by_digest(part, index):
    return part.content_digests()[index]


@pytest.mark.parametrize("seed", range(5))
def test_adding_files_never_moves_an_image(seed):
    """In any class, with a test side or without, whatever is added and in whatever order."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(PIXELS))
    before = {}
    for count in (100, 137, 260, 400):
        chosen = random.permutation(order[:count])
        after = sides_of(source_of(chosen, seed=seed).split(0.3, test=0.2), by_digest)
        assert before.items() <= after.items()
        before = after
    assert len(before) == 400


@pytest.mark.parametrize("seed", range(3))
def test_adding_files_never_moves_an_image_to_another_fold(seed):
    few, many = (source_of(slice(0, count), seed=seed) for count in (200, 400))
    for (_, held_before), (_, held_after) in zip(few.folds(4), many.folds(4), strict=True):
        assert set(held_before.content_digests()) <= set(held_after.content_digests())


def test_a_larger_share_only_takes_from_training():
    smaller, larger = (source_of().split(share, test=0.2) for share in (0.2, 0.35))
    assert set(smaller[1].rows) < set(larger[1].rows)
    assert smaller[2].rows.tolist() == larger[2].rows.tolist()


def test_sides_are_disjoint_complete_and_of_the_size_that_chance_allows():
    parts = source_of().split(0.3, test=0.2)
    assert sorted(np.concatenate([part.rows for part in parts]).tolist()) == list(range(400))
    # 120 and 80 expected; 4 standard deviations are 37 and 32. In each class of 100: 30, give or take 18.
    assert abs(len(parts[1]) - 120) < 37
    assert abs(len(parts[2]) - 80) < 32
    assert all(abs(count - 30) < 19 for count in parts[1].class_counts.values())
    assert [part.is_validation for part in parts] == [False, True, True]


def test_equal_files_fall_on_one_side_even_in_two_classes(image_folder):
    folder = image_folder({"a": 20, "b": 20})
    for index in range(20):
        shutil.copy(folder / "a" / f"{index:03d}.png", folder / "b" / f"copy{index}.png")
    source = ImageFolder(folder, image_size=(8, 8))
    for exact in (False, True):
        train, validation = source.split(0.4, exact=exact)
        assert not set(train.content_digests()) & set(validation.content_digests())


def test_exact_shares_are_exact_in_every_class_with_a_test_side_too():
    for part, count in zip(source_of().split(0.2, test=0.1, exact=True), (70, 20, 10), strict=True):
        assert set(part.class_counts.values()) == {count}
    numbers = ImageArrays(PIXELS, np.arange(400.0), label_mode="regression")
    held = numbers.split(0.25, exact=True)[1].labels[:, 0]
    assert np.histogram(held, bins=10, range=(0, 400))[0].tolist() == [10] * 10


# -- groups ----------------------------------------------------------------------------------------------------


@pytest.fixture
def patients(image_folder):
    """40 patients with 3 images each, in two classes."""
    folder = image_folder({"ill": 60, "well": 60})
    for kind in ("ill", "well"):
        for index in range(60):
            (folder / kind / f"{index:03d}.png").rename(folder / kind / f"{kind}{index // 3:02d}_{index % 3}.png")
    return ImageFolder(folder, image_size=(8, 8))


def patient(path):
    return path.stem.split("_")[0]


@pytest.mark.parametrize("groups", [r"([a-z]+\d+)_\d\.png$", patient])
def test_all_images_of_a_group_fall_on_one_side(patients, groups):
    train, validation = patients.split(0.3, groups=groups)
    sides = [{patient(path) for path in part.paths} for part in (train, validation)]
    assert not sides[0] & sides[1]
    assert len(sides[0] | sides[1]) == 40
    assert all(count % 3 == 0 for part in (train, validation) for count in part.class_counts.values())
    folds = [{patient(path) for path in held.paths} for _, held in patients.folds(3, groups=groups)]
    assert sum(map(len, folds)) == len(set.union(*folds)) == 40


def test_a_group_stays_when_other_groups_come(patients):
    few = patients.select([index for index, path in enumerate(patients.paths) if patient(path)[-1] in "01234"])
    before = {patient(path) for path in few.split(0.4, groups=patient)[1].paths}
    after = {patient(path) for path in patients.split(0.4, groups=patient)[1].paths}
    assert before == {name for name in after if name[-1] in "01234"}


def test_groups_may_be_a_column(patients, tmp_path):
    lines = ["filename,class,who", *(f"{path},{path.parent.name},{patient(path)}" for path in patients.paths)]
    (tmp_path / "table.csv").write_text("\n".join(lines))
    source = ImageFrame(tmp_path / "table.csv", image_size=(8, 8))
    by_column, by_function = (source.split(0.3, groups=groups)[1].paths for groups in ("who", patient))
    assert by_column == by_function == patients.split(0.3, groups=patient)[1].paths
    assert source.select(range(30)).split(0.5, groups="who")[0].paths


def test_equal_files_in_two_groups_are_named(patients):
    shutil.copy(patients.paths[0], patients.paths[0].parent / "ill99_0.png")
    source = ImageFolder(patients.directory, image_size=(8, 8))
    with pytest.warns(
        UserWarning, match=r"1 images equal one of another group .*'.*ill99_0\.png', which equals '.*ill00_0"
    ):
        source.split(0.3, groups=patient)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ("ill", r"groups='ill' is no column of the table, and has no parentheses as a regular expression\. Put them"),
        ("(ill", r"groups='\(ill' is no regular expression: missing \)"),
        (r"ill(\d+)", r"60 of 120 images have no group, first '.*well00_0\.png'\. Every image needs one"),
        (lambda path: None, "120 of 120 images have no group"),
        (3, "groups is a column's name, a regular expression or a function from path to group; got 3"),
    ],
)
def test_groups_that_cannot_be_found_are_refused(patients, groups, message):
    with pytest.raises((ArgumentError, DataError), match=message):
        patients.split(0.3, groups=groups)


# -- folds and arguments ---------------------------------------------------------------------------------------


def test_every_image_is_validated_exactly_once_and_never_augmented():
    source = source_of().augment(horizontal_flip=True)
    pairs = source.folds(5)
    assert sorted(np.concatenate([held.rows for _, held in pairs]).tolist()) == list(range(400))
    for train, held in pairs:
        assert sorted([*train.rows, *held.rows]) == list(range(400))
        assert train.augmentation is not None
        assert held.augmentation is None
        with pytest.raises(ArgumentError, match="never augmented"):
            held.augment(horizontal_flip=True)
    assert pairs[0][1].rows.tolist() == source.split(0.2)[1].rows.tolist()


@pytest.mark.parametrize("k", [1, 0, 2.0, "3"])
def test_folds_are_two_or_more(k):
    with pytest.raises(ArgumentError, match="k is a whole number of folds from 2 up; got"):
        source_of().folds(k)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"test": 1.0}, r"test is a share between 0 and 1, like 0\.2; got 1\.0"),
        ({"validation": 0.6, "test": 0.4}, r"validation 0\.6 and test 0\.4 leave nothing for training"),
        ({"groups": "(x)", "exact": True}, r"shares cannot be exact\. Give groups or exact, not both"),
    ],
)
def test_shares_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        source_of().split(**arguments)


def test_a_class_without_images_on_a_side_is_named():
    with pytest.warns(
        UserWarning, match=r"The validation side has no image of \d of 4 classes, first '[abcd]'\. Add im"
    ):
        source_of(slice(0, 40)).split(0.05)


def test_too_few_images_for_folds_are_refused():
    with pytest.raises(DataError, match=r"3 images are too few to split: the \w+ side is empty\. Add images"):
        source_of(slice(0, 3), classes=1).folds(50)
