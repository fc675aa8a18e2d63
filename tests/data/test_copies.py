"""Copies: images that a source shows more than once are augmented each in its own way, and by all doors alike."""

import pickle
import shutil
import threading

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from thawline.data.sources.arrays import ImageArrays
from thawline.data.sources.files import ImageFiles
from thawline.data.sources.folder import ImageFolder
from thawline.data.sources.frame import ImageFrame
from thawline.features.fingerprint import row_key

SIZE = {"image_size": (16, 16)}
TURNED = {"rotation_range": 40, "horizontal_flip": True}


@pytest.fixture
def folder(image_folder):
    return image_folder({"a": 2, "b": 2}, size=(16, 16))


def looks(source, view=0):
    return [source.picture(index, view)[0].tobytes() for index in range(len(source))]


# -- which images are copies -----------------------------------------------------------------------------------


def test_repeated_rows_show_views_of_their_own(folder):
    source = ImageFolder(folder, **SIZE).augment(**TURNED)
    repeated = source.select([0, 0, 1, 0, 0])
    assert len(set(looks(repeated))) == 5
    assert looks(repeated)[0] == looks(source)[0]
    assert looks(repeated)[2] == looks(source)[1]


def test_repeated_rows_of_a_table_show_views_of_their_own(folder):
    names = ["a/000.png", "a/000.png", "b/000.png", "a/000.png"]
    table = pd.DataFrame({"filename": names, "class": ["a", "a", "b", "a"]})
    assert len(set(looks(ImageFrame(table, directory=folder, **SIZE).augment(**TURNED)))) == 4


def test_copies_of_a_file_show_views_of_their_own(folder):
    shutil.copy(folder / "a" / "000.png", folder / "a" / "copy.png")
    (folder / "b" / "linked.png").symlink_to(folder / "a" / "000.png")
    source = ImageFolder(folder, **SIZE).augment(**TURNED)
    assert len(set(looks(source))) == len(source) == 6
    assert len(set(looks(ImageFolder(folder, **SIZE)))) == 4


def test_equal_arrays_show_views_of_their_own():
    pixels = np.repeat(np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3), np.uint8), 8, axis=0)
    assert len(set(looks(ImageArrays(pixels).augment(**TURNED)))) == 8


def test_files_that_only_begin_and_end_alike_are_no_copies(tmp_path):
    # BMP files of one size with the same beginning, middle and end.
    pixels = np.zeros((3, 300, 300, 3), np.uint8)
    pixels[1, 60, 7] = 255
    for index, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / f"{index}.bmp")
    source = ImageFiles([tmp_path], image_size=(16, 16)).augment(**TURNED)
    keys, digests = source.view_keys(), source.content_digests()
    assert [key == digest for key, digest in zip(keys, digests, strict=True)] == [True, True, False]
    assert digests[0] == digests[2] != digests[1]


def test_no_file_is_read_to_find_copies_where_all_sizes_differ(image_folder, files_read):
    folder = image_folder({"a": 1, "b": 1})
    with (folder / "b" / "000.png").open("ab") as file:
        file.write(bytes(7))
    source = ImageFolder(folder, **SIZE).augment(**TURNED)
    source.picture(0)
    assert files_read == [folder / "a" / "000.png"]


def test_files_are_read_once_to_find_copies(folder, files_read):
    shutil.copy(folder / "a" / "000.png", folder / "a" / "copy.png")
    source = ImageFolder(folder, **SIZE).augment(**TURNED)
    source._copies.numbers  # noqa: B018  # counts
    assert sorted(files_read) == [folder / "a" / "000.png", folder / "a" / "copy.png"]
    looks(source)
    looks(source, view=1)
    assert len(files_read) == 2 + 2 * len(source)


def test_sources_made_of_one_count_copies_for_themselves(folder):
    whole = ImageFolder(folder, **SIZE).select([0, 0, 0, 1, 2, 3]).augment(**TURNED)
    assert looks(whole.select([2, 1]))[0] == looks(whole)[0]
    assert looks(whole.limit(2))[:2] == looks(whole)[:2]
    assert looks(whole.augment(rotation_range=40, horizontal_flip=True)) == looks(whole)
    assert looks(whole.cache_pixels("ram")) == looks(whole)


def test_equal_images_stay_on_one_side_of_a_split(folder):
    source = ImageFolder(folder, **SIZE).select([0] * 5 + [1] * 5 + [2] * 5 + [3] * 5)
    train, validation = source.split(0.5, exact=True)
    assert not set(train.content_digests()) & set(validation.content_digests())
    assert len(set(looks(train.augment(**TURNED)))) == len(train)


# -- the first of a content, and what is not random, stay what they were ---------------------------------------


def test_an_image_that_is_no_copy_is_drawn_by_its_digest(folder):
    source = ImageFolder(folder, seed=3, **SIZE).augment(**TURNED)
    digest = source.content_digests()[2]
    assert source.picture(2, view=5)[1] == source.augmentation.draw(3, digest, 5, image_size=(16, 16))
    assert source.view_keys() == source.content_digests()


def test_copies_that_are_not_augmented_share_their_keys(folder):
    source = ImageFolder(folder, **SIZE).select([0, 0, 1])
    for same in (source, source.augment(rescale=1 / 255), source.augment(**TURNED).unaugmented()):
        assert same.view_keys() == source.content_digests()
        assert looks(same)[0] == looks(same)[1]


# -- every door shows the same ---------------------------------------------------------------------------------


def test_pictures_views_images_and_batches_agree(folder):
    source = ImageFolder(folder, batch_size=3, **SIZE).select([0, 0, 1, 1, 1, 3]).augment(**TURNED)
    expected = [source.picture(index, 4)[0] for index in range(6)]
    assert all((source.views(index, [2, 4])[1] == expected[index]).all() for index in range(6))
    assert all((source.image(index, 4) == expected[index]).all() for index in range(6))
    for batch in source.batches(epoch=4):
        np.testing.assert_array_equal(batch.images, np.stack([expected[index] for index in batch.indices]))
    shards = [batch for shard in range(2) for batch in source.batches(epoch=4, shard=(shard, 2))]
    for batch in shards:
        np.testing.assert_array_equal(batch.images, np.stack([expected[index] for index in batch.indices]))


def test_a_mask_moves_with_its_own_copy():
    pixels = np.repeat(np.random.default_rng(0).integers(0, 256, (1, 16, 16, 1), np.uint8), 4, axis=0)
    source = ImageArrays(pixels, masks=pixels).augment(rotation_range=90, interpolation_order=0)
    masks = source.targets(np.arange(4), view=2)
    images = np.stack([source.picture(index, 2)[0] for index in range(4)])
    # In the middle, which no turn fills from beyond the edges.
    np.testing.assert_array_equal(masks[:, 4:12, 4:12], images[:, 4:12, 4:12])
    assert len({mask.tobytes() for mask in masks}) == 4


def test_the_answer_of_an_autoencoder_is_the_copy_that_it_sees():
    pixels = np.repeat(np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3), np.uint8), 4, axis=0)
    source = ImageArrays(pixels, label_mode="input").augment(**TURNED)
    expected = np.stack([source.picture(index, 1)[0] for index in range(4)]).astype(np.float32) / 255
    np.testing.assert_array_equal(source.targets(np.arange(4), view=1), expected)


def test_every_copy_has_a_row_of_features_of_its_own(folder):
    source = ImageFolder(folder, **SIZE).select([0, 0, 1]).augment(**TURNED)
    keys = [row_key(key, view) for key in source.view_keys() for view in range(3)]
    assert len(set(keys)) == 9
    assert {len(key) for key in keys} == {36}


# -- threads, processes, bad images ----------------------------------------------------------------------------


def test_threads_that_ask_at_once_count_once(folder, monkeypatch):
    source = ImageFolder(folder, **SIZE).select([0, 0, 1]).augment(**TURNED)
    asked = []
    contents = type(source.pictures).contents
    monkeypatch.setattr(
        type(source.pictures), "contents", lambda self, rows: asked.append(len(rows)) or contents(self, rows)
    )
    threads = [threading.Thread(target=source.picture, args=(index % 3,)) for index in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert asked == [3]


def test_a_pickled_source_shows_the_same(folder):
    source = ImageFolder(folder, **SIZE).select([0, 0, 0]).augment(**TURNED)
    assert looks(pickle.loads(pickle.dumps(source))) == looks(source)  # noqa: S301
    assert looks(pickle.loads(pickle.dumps(source))) == looks(source)  # noqa: S301  # after it was counted, too


def test_a_copy_keeps_its_views_when_the_first_goes_bad(folder):
    shutil.copy(folder / "a" / "000.png", folder / "a" / "copy.png")
    source = ImageFolder(folder, on_error="skip", batch_size=9, **SIZE).augment(**TURNED)
    copied = [path.name for path in source.paths].index("copy.png")
    before, keys = source.picture(copied, 1)[0], source.view_keys()
    (folder / "a" / "000.png").write_bytes(b"")
    with pytest.warns(UserWarning, match="went bad and is left out"):
        (batch,) = source.batches(epoch=1, shuffle=False)
    assert len(batch.indices) == 4
    np.testing.assert_array_equal(batch.images[batch.indices.tolist().index(copied)], before)
    assert source.view_keys() == keys


def test_a_file_that_cannot_be_read_is_no_copy_and_no_error_before_it_is_wanted(folder):
    shutil.copy(folder / "a" / "000.png", folder / "a" / "copy.png")
    source = ImageFolder(folder, **SIZE).augment(**TURNED)
    (folder / "a" / "copy.png").unlink()
    (folder / "b" / "000.png").unlink()
    assert source._copies.numbers.tolist() == [0] * 5
    source.picture(0)
