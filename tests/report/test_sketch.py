"""The drawing of a cut says what the cut says."""

import xml.etree.ElementTree as Xml

import thawline as tl
from thawline.backend import keras
from thawline.report.sketch import describe_sketch, draw_sketch, sketch_cut

layers = keras.layers


def stack():
    """Stages "base" (narrow, wide) and "head" (pool, answer); what the narrow layer gives is small."""
    base = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(2, 3, name="narrow"), layers.Conv2D(16, 1, name="wide")], name="b"
    )
    head = keras.Sequential([layers.GlobalAveragePooling2D(name="pool"), layers.Dense(2, name="answer")], name="h")
    return tl.Stack([tl.Stage(base, "base", value_range=(-1, 1)), tl.Stage(head, "head")])


def texts(svg):
    return [element.text for element in Xml.fromstring(svg).iter("text")]


def test_blocks_are_the_parts_of_stages_on_each_side_of_the_line():
    sketch = sketch_cut(stack().cut(train="head"), "Phase 1")
    parts = [(block.name, block.side, block.layers, block.weights, block.learning) for block in sketch.blocks]
    assert parts == [
        ("pixels_to_value_range", "below", 1, 0, 0),
        ("base", "below", 2, 9 * 3 * 2 + 2 + 2 * 16 + 16, 0),
        ("head", "below", 1, 0, 0),
        ("head", "above", 1, 16 * 2 + 2, 16 * 2 + 2),
    ]
    assert sketch.crossing == (("float32 (None, 16)", "head/pool"),)
    assert sketch.row_bytes == 64


def test_the_drawing_has_the_answers_at_the_top_and_the_images_at_the_bottom():
    shown = texts(draw_sketch(sketch_cut(stack().cut(train="base/wide"), "Phase 1")))
    order = [text for text in shown if text in ("base", "head") or text.startswith(("thaw line", "images"))]
    assert order == ["head", "base", "thaw line · 288 B per image", "base", "images (None, 8, 8, 3)"]
    assert "float32 (None, 6, 6, 2)" in shown and "from base/narrow" in shown
    assert "1 layer · 48 weights · 48 learn" in shown and "1 layer · 56 weights · frozen" in shown


def test_an_earlier_cut_is_drawn_below_the_line_with_what_runs_again():
    series = stack()
    series.stages[0].model.trainable = False
    wide = keras.Sequential([layers.Flatten(), layers.Dense(2)])
    cut = tl.Stack([series.stages[0], tl.Stage(wide, "head")]).cut().candidates[0]
    sketch = sketch_cut(cut, "Phase 1")
    assert [block.side for block in sketch.blocks] == ["below", "below", "held", "held", "above"]
    shown = texts(draw_sketch(sketch))
    assert [text for text in shown if text.startswith(("thaw", "cut"))] == ["thaw line", "cut · 288 B per image"]
    assert "1 layer · 48 weights · frozen · each epoch" in shown


def test_the_drawing_is_told_in_words():
    sketch = sketch_cut(stack().cut(train="head/answer"), "Phase 2: head")
    words = describe_sketch(sketch)
    assert words.startswith(
        "Phase 2: head. From the images up: pixels_to_value_range (1 layer, frozen); base (2 layers"
    )
    assert words.endswith("crossed by float32 (None, 16) from head/pool; head (1 layer, 34 learn).")
    assert Xml.fromstring(draw_sketch(sketch)).get("aria-label") == words


def test_long_names_are_cut_in_their_middle_and_whole_in_the_title():
    name = "a" * 40 + "b" * 40
    base = keras.Sequential([keras.Input((4, 4, 1)), layers.Conv2D(2, 3)], name="c")
    series = tl.Stack([tl.Stage(base, name), tl.Stage(keras.Sequential([layers.Flatten(), layers.Dense(2)]), "head")])
    (element,) = [
        each
        for each in Xml.fromstring(draw_sketch(sketch_cut(series.cut(), ""))).iter("text")
        if (each.text or "").startswith("aaa")
    ]
    assert len(element.text) < 52 and element.find("title").text == name
