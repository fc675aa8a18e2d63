"""on_error="skip" after the scan: files that go bad later are left out, listed and not tried again."""

import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import thawline as tl
from thawline.data.sources import pictures as module
from thawline.errors import DataError, ImageChangedError, UnreadableImageError


@pytest.fixture
def folder(image_folder):
    """Two classes of four images."""
    return image_folder({"a": 4, "b": 4}, size=(8, 8))


def opened(folder, **options):
    return tl.ImageFolder(folder, **{"image_size": (8, 8), "batch_size": 3, "seed": 2, "on_error": "skip", **options})


def seen(source, **options):
    """The indices of each batch."""
    return [batch.indices.tolist() for batch in source.batches(**options)]


def delete(path):
    path.unlink()


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-20])


def empty(path):
    path.write_bytes(b"")


def replace(path):
    shutil.copy(path.with_name("000.png"), path)


WAYS = [
    (delete, "cannot be read: No such file or directory. Check the file."),
    (cut_off, "begins as PNG, but cannot be read: its chunk 'IDAT' says that it has "),
    (empty, "the file is empty. Replace it or take it out of the folder."),
    (replace, "the file changed since it was scanned. Start again to use the new one, "),
]


@pytest.mark.parametrize(("spoil", "reason"), WAYS, ids=[spoil.__name__ for spoil, _ in WAYS])
def test_a_file_that_goes_bad_leaves_its_batch_and_nothing_else_moves(folder, spoil, reason):
    source = opened(folder)
    source.weights = np.arange(8, dtype=np.float32)
    before = list(source.batches(epoch=1))
    spoil(source.paths[5])
    with pytest.warns(UserWarning, match=r"b/001\.png went bad and is left out from here on: ") as warned:
        after = list(source.batches(epoch=1))
    assert len(warned) == 1
    assert [path for path, _ in source.unreadable] == [source.paths[5]]
    assert source.unreadable[0][1].startswith(reason)
    assert [batch.indices.tolist() for batch in after] == [[i for i in batch.indices if i != 5] for batch in before]
    for old, new in zip(before, after, strict=True):
        kept = old.indices != 5
        np.testing.assert_array_equal(new.images, old.images[kept])
        np.testing.assert_array_equal(new.targets, old.targets[kept])
        np.testing.assert_array_equal(new.weights, old.weights[kept])
        assert new.paths == tuple(path for path in old.paths if path != source.paths[5])
    # No second warning, and warnings are errors here.
    assert seen(source, epoch=1) == [batch.indices.tolist() for batch in after]


@pytest.mark.parametrize(("spoil", "reason"), WAYS, ids=[spoil.__name__ for spoil, _ in WAYS])
def test_raise_stays_an_error_that_names_file_and_reason(folder, spoil, reason):
    source = opened(folder, on_error="raise")
    list(source.batches())
    spoil(source.paths[5])
    with pytest.raises((UnreadableImageError, ImageChangedError)) as raised:
        list(source.batches())
    assert str(raised.value).startswith(f"{source.paths[5]}: {reason}")
    assert source.on_error == "raise"
    assert source.unreadable == ()


def test_what_is_left_out_is_not_tried_again_even_when_the_file_is_back(folder, monkeypatch):
    source = opened(folder)
    away = source.paths[2].rename(folder / "away.png")
    with pytest.warns(UserWarning, match="went bad"):
        list(source.batches())
    away.rename(source.paths[2])
    read = []
    read_bytes = module._read
    monkeypatch.setattr(module, "_read", lambda path: (read.append(path), read_bytes(path))[1])
    assert sorted(itertools.chain(*seen(source, epoch=1))) == [0, 1, 3, 4, 5, 6, 7]
    assert source.paths[2] not in read


def test_all_sources_made_of_one_share_the_list(folder):
    source = opened(folder)
    train, validation = source.split(0.5, exact=True)
    looks = train.augment(horizontal_flip=True)
    delete(train.paths[0])
    with pytest.warns(UserWarning, match="went bad"):
        list(looks.batches())
    assert [path for path, _ in looks.unreadable] == [train.paths[0]]
    assert source.unreadable == train.unreadable == validation.unreadable == looks.unreadable
    # The image has another index in each of them.
    assert sorted(itertools.chain(*seen(source.select([7, *range(7)])))) == [
        index for index in range(8) if source.paths[[7, *range(7)][index]] != train.paths[0]
    ]
    assert opened(folder, on_error="raise").unreadable == ()


def test_a_batch_without_images_is_passed_over_and_an_epoch_goes_on_after_it(folder):
    source = opened(folder, batch_size=2)
    for index in (2, 3):
        delete(source.paths[index])
    with pytest.warns(UserWarning, match="went bad"):
        assert seen(source, shuffle=False) == [[0, 1], [4, 5], [6, 7]]
    batches = source.batches(shuffle=False)
    next(batches), next(batches)
    assert batches.state() == {"epoch": 0, "start": 3}
    assert seen(source, shuffle=False, **batches.state()) == [[6, 7]]
    one_by_one = opened(folder, batch_size=1)
    assert seen(one_by_one, shuffle=False) == [[index] for index in range(6)]


def test_nothing_left_is_an_error(folder):
    source = opened(folder)
    for path in source.paths:
        path.unlink()
    with pytest.warns(UserWarning, match="went bad"), pytest.raises(DataError, match=r"None of 8 images.*No such file"):
        list(source.batches())
    with pytest.raises(DataError, match="None of 8 images can be used any more, first "):
        source.without_unreadable()
    # A part of an epoch may be empty.
    other = opened_with_one_left(folder)
    assert seen(other, shuffle=False, start=1) == []


def opened_with_one_left(folder):
    """Four images of which the last three are gone; batches of two."""
    for number in range(4):
        Image.fromarray(np.full((8, 8, 3), 60 * number, np.uint8)).save(folder / "a" / f"new{number}.png")
    files = tl.ImageFiles([folder / "a"], image_size=(8, 8), batch_size=2, on_error="skip")
    for path in files.paths[1:]:
        path.unlink()
    with pytest.warns(UserWarning, match="went bad"):
        list(files.batches())
    return files


def test_digests_of_what_vanished_are_stand_ins(folder):
    whole = opened(folder, on_error="raise").content_digests()
    source = opened(folder)
    delete(source.paths[1])
    with pytest.warns(UserWarning, match=r"a/001\.png went bad") as warned:
        digests = source.content_digests(show_progress=False)
    assert len(warned) == 1
    assert [at for at in range(8) if digests[at] != whole[at]] == [1]
    assert len(digests[1]) == 32
    assert source.content_digests() == digests
    assert [path for path, _ in source.unreadable] == [source.paths[1]]


def test_a_split_does_without_what_vanished_and_leaves_the_others_where_they_were(image_folder):
    folder = image_folder({"a": 20, "b": 20}, size=(8, 8))
    sides = [set(side.paths) for side in opened(folder).split(0.3)]
    folds = [set(held.paths) for _, held in opened(folder).folds(3)]
    source = opened(folder)
    gone = source.paths[4]
    delete(gone)
    with pytest.warns(UserWarning, match="went bad"):
        assert [set(side.paths) for side in source.split(0.3)] == [side - {gone} for side in sides]
    assert [set(held.paths) for _, held in source.folds(3)] == [fold - {gone} for fold in folds]
    exact = source.split(0.5, exact=True)
    assert [len(side) for side in exact] == [19, 20] or [len(side) for side in exact] == [20, 19]


def test_what_is_kept_in_memory_stays_when_its_file_goes(folder):
    source = opened(folder).cache_pixels("ram")
    before = seen(source)
    delete(source.paths[0])
    assert seen(source) == before
    assert source.unreadable == ()


def test_pixels_kept_on_disk_know_what_vanished(folder, tmp_path):
    source = opened(folder).cache_pixels("disk", path=tmp_path / "pixels")
    delete(source.paths[3])
    with pytest.warns(UserWarning, match="went bad"):
        assert sorted(itertools.chain(*seen(source))) == [0, 1, 2, 4, 5, 6, 7]
    with pytest.warns(UserWarning, match="went bad"):
        assert sorted(itertools.chain(*seen(opened_after(folder, source.paths[5], tmp_path)))) == [0, 1, 2, 3, 5, 6]


def opened_after(folder, path, tmp_path):
    """The seven images that are left, and one of them going after the scan."""
    source = opened(folder).cache_pixels("disk", path=tmp_path / "pixels")
    delete(path)
    source.content_digests()
    return source


def test_an_image_goes_with_its_mask(folder, tmp_path):
    masks = tmp_path / "masks"
    shutil.copytree(folder, masks)
    for path in masks.rglob("*.png"):
        Image.open(path).convert("L").save(path)
    source = opened(folder, masks=masks).augment(rotation_range=20)
    before = list(source.batches(shuffle=False))
    mask = masks / "b" / "000.png"
    mask.write_bytes(mask.read_bytes()[:-40])
    with pytest.warns(UserWarning, match=rf"b/000\.png went bad .*{mask}: begins as PNG, but cannot be read"):
        after = list(source.batches(shuffle=False))
    assert source.unreadable[0][0] == Path(folder / "b" / "000.png")
    assert [batch.indices.tolist() for batch in after] == [[0, 1, 2], [3, 5], [6, 7]]
    np.testing.assert_array_equal(after[1].targets, before[1].targets[[0, 2]])
    np.testing.assert_array_equal(after[1].images, before[1].images[[0, 2]])
    mask.unlink()
    assert source.target_content() == source.target_content()


def test_a_file_in_two_rows_is_listed_and_warned_of_once(folder, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("filename,class\na/000.png,x\na/001.png,y\na/000.png,y\nb/000.png,x\n")
    source = tl.ImageFrame(table, directory=folder, image_size=(8, 8), on_error="skip")
    delete(folder / "a" / "000.png")
    with pytest.warns(UserWarning, match="went bad") as warned:
        assert seen(source, shuffle=False) == [[1, 3]]
    assert len(warned) == len(source.unreadable) == 1
    assert [path.name for path in source.without_unreadable().paths] == ["001.png", "000.png"]
