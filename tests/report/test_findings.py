"""Findings are shown with the files that they name."""

from pathlib import Path

from thawline.check.finding import Finding
from thawline.report.findings import show_found
from thawline.report.value import Picture, PicturePair


def pictures_of(finding):
    (shown,) = show_found([finding])
    assert shown.finding is finding
    return shown.pictures


def finding_of(paths=(), **evidence):
    return Finding("image-kind", "note", "What.", "Fix.", tuple(paths), tuple(evidence.items()))


def test_the_first_files_are_shown_and_what_is_no_image_is_left_out(image_folder):
    paths = sorted(image_folder(1, count=14, size=(20, 10)).rglob("*.png"))
    paths[1].write_text("no image")
    shown = pictures_of(finding_of([Path("nowhere.png"), *paths]))
    assert all(isinstance(picture, Picture) for picture in shown)
    assert [picture.caption.rpartition("/")[2] for picture in shown] == [path.name for path in (paths[0], *paths[2:11])]


def test_pairs_stand_side_by_side(image_folder):
    paths = sorted(image_folder(1, count=16).rglob("*.png"))
    pairs = [[str(one), str(other), 0.9] for one, other in zip(paths[::2], paths[1::2], strict=True)]
    shown = pictures_of(finding_of(paths[1::2], pairs=pairs))
    assert len(shown) == 6 and all(isinstance(picture, PicturePair) for picture in shown)
    assert shown[0].left.caption.endswith("000.png") and shown[0].right.caption.endswith("001.png")
    paths[0].unlink()
    assert len(pictures_of(finding_of(paths[1::2], pairs=pairs[:2]))) == 1


def test_copies_with_different_labels_stand_side_by_side(image_folder):
    one, other, third = sorted(image_folder(1, count=3).rglob("*.png"))
    copies = [[[str(one), "cat"], [str(other), "dog"], [str(third), "cat"]]]
    (pair,) = pictures_of(finding_of([one, other, third], copies=copies))
    assert pair.left.caption.endswith("000.png") and pair.right.caption.endswith("001.png")


def test_a_suspect_is_shown_with_both_classes(image_folder):
    (path,) = image_folder(1, count=1).rglob("*.png")
    (picture,) = pictures_of(finding_of([path], suspects=[[str(path), "rose", "tulip", 0.875]]))
    assert picture.caption.endswith("000.png: labelled rose, near tulip (88 %)")


def test_pairs_of_names_that_are_no_files_have_no_pictures():
    assert pictures_of(finding_of(pairs=[["Roses", "roses"]])) == []
