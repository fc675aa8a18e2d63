"""A cut, drawn: the stages from the images upwards, and the thaw line between what is frozen and what learns."""

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Literal

from thawline.figures import format_bytes, format_count

if TYPE_CHECKING:
    from thawline.stack.cut import Cut
    from thawline.stack.graph import Node

Side = Literal["below", "held", "above"]

# The drawing's units are CSS pixels on a phone; wider screens show it at the same size.
_WIDTH, _MARGIN, _BOX, _GAP, _LINE = 344, 4, 62, 18, 17

# Characters that fit the width, at the size of the small text.
_MOST_LETTERS = 50


@dataclass(frozen=True)
class Block:
    """A stage, or the part of one that lies on one side of the line.

    Attributes:
        name: the stage's.
        side: "below" the cut; "held" between the cut and the thaw line, where it runs again in every epoch; "above".
        layers: how many calls of layers.
        weights: numbers in its weights.
        learning: those of them that learn.
        gives: what its last layer gives, like "(None, 7, 7, 1280)".
        last: its last layer.
    """

    name: str
    side: Side
    layers: int
    weights: int
    learning: int
    gives: str
    last: str


@dataclass(frozen=True)
class Sketch:
    """What a drawing of a cut shows.

    Attributes:
        title: which phase, in words.
        images: what goes in.
        blocks: from the images to the answers.
        crossing: for each tensor that crosses what it is and the layer that gives it.
        row_bytes: bytes that cross for one image; None where a size is not known.
        notes: more about the cut, line by line, as `print` shows it.
    """

    title: str
    images: str
    blocks: tuple[Block, ...]
    crossing: tuple[tuple[str, str], ...]
    row_bytes: int | None
    notes: tuple[str, ...]


def sketch_cut(cut: "Cut", title: str) -> Sketch:
    """What there is to draw of a cut."""
    sides: tuple[tuple[Side, Sequence[Node]], ...] = (("below", cut.below), ("held", cut.held), ("above", cut.above))
    blocks = [
        _block(name, side, list(nodes), cut.learning)
        for side, calls in sides
        for name, nodes in groupby(calls, key=lambda node: node.path.partition("/")[0])
    ]
    is_known = all(size is not None for spec in cut.crossing for size in spec.shape[1:])
    return Sketch(
        title,
        _shape(cut.inputs),
        tuple(blocks),
        tuple((str(spec), path) for spec, path in zip(cut.crossing, cut.crossing_paths, strict=True)),
        cut.row_bytes if is_known else None,
        tuple(line.strip() for line in str(cut).splitlines()),
    )


def _block(name: str, side: Side, nodes: "Sequence[Node]", learning: frozenset[int]) -> Block:
    weights = {id(weight): weight for node in nodes for weight in getattr(node.layer, "weights", ())}
    return Block(
        name,
        side,
        len(nodes),
        sum(math.prod(weight.shape) for weight in weights.values()),
        sum(math.prod(weight.shape) for key, weight in weights.items() if key in learning),
        _shape(nodes[-1].outputs),
        nodes[-1].path,
    )


def _shape(tensors: Iterable[object]) -> str:
    return ", ".join(str(tuple(getattr(tensor, "shape", ()))) for tensor in tensors)


def describe_sketch(sketch: Sketch) -> str:
    """The drawing in words, for those who do not see it.

    Example:
        >>> block = Block("head", "above", 2, 10, 10, "(None, 2)", "head/dense")
        >>> describe_sketch(Sketch("Phase 1", "(None, 8, 8, 3)", (block,), (("float32 (None, 4)", "base"),), 16, ()))
        'Phase 1. From the images up: thaw line, crossed by float32 (None, 4) from base; head (2 layers, 10 learn).'
    """
    parts = [_words(block) for block in sketch.blocks if block.side != "above"]
    parts.append(f"thaw line, crossed by {', '.join(f'{spec} from {path}' for spec, path in sketch.crossing)}")
    parts += [_words(block) for block in sketch.blocks if block.side == "above"]
    return f"{sketch.title}. From the images up: {'; '.join(parts)}."


def _words(block: Block) -> str:
    learn = f"{block.learning:,} learn" if block.learning else "frozen"
    return f"{block.name} ({block.layers} layer{'s' if block.layers > 1 else ''}, {learn})"


def draw_sketch(sketch: Sketch) -> str:
    """The drawing as an SVG element whose colours are the page's: images at the bottom, answers at the top."""
    pieces: list[str] = []
    top = 4.0
    above = [block for block in sketch.blocks if block.side == "above"]
    for block in reversed(above):
        pieces.append(_box(block, top))
        top += _BOX + _GAP
    held = [block for block in sketch.blocks if block.side == "held"]
    if held:
        top = _rule(pieces, top, "thaw line", ())
        for block in reversed(held):
            pieces.append(_box(block, top))
            top += _BOX + _GAP
    size = "" if sketch.row_bytes is None else f" · {format_bytes(sketch.row_bytes)} per image"
    crossing = [line for spec, path in sketch.crossing for line in (spec, f"from {path}")]
    top = _rule(pieces, top, f"{'cut' if held else 'thaw line'}{size}", crossing)
    for block in reversed([block for block in sketch.blocks if block.side == "below"]):
        pieces.append(_box(block, top))
        top += _BOX + _GAP
    pieces.append(_text(_WIDTH / 2, top + 10, f"images {sketch.images}", "soft", "middle"))
    label, shapes = html.escape(describe_sketch(sketch), quote=True), "".join(pieces)
    box = f"0 0 {_WIDTH} {top + 16:g}"
    return f'<svg class="sketch" viewBox="{box}" role="img" aria-label="{label}">{shapes}</svg>'


def _box(block: Block, top: float) -> str:
    """A box with its name, what is in it and what it gives, and an arrow from below into it."""
    layers = f"{block.layers:,} layer{'s' if block.layers > 1 else ''}"
    weights = f"{format_count(block.weights)} weights" if block.weights else "no weights"
    learn = f"{format_count(block.learning)} learn" if block.learning else ""
    frozen = "frozen" if block.weights and not block.learning else ""
    details = " · ".join(part for part in (layers, weights, learn or frozen) if part)
    if block.side == "held":
        details += " · each epoch"
    kind = "learns" if block.learning else "frozen" if block.side != "above" else "passive"
    bottom = top + _BOX
    return (
        f'<path class="flow" d="M{_WIDTH / 2} {bottom + _GAP - 2}V{bottom + 3}m-4 5l4-5l4 5"/>'
        f'<rect class="{kind}" x="{_MARGIN}" y="{top}" width="{_WIDTH - 2 * _MARGIN}" height="{_BOX}" rx="8"/>'
        + _text(_MARGIN + 12, top + 20, block.name, "name")
        + _text(_MARGIN + 12, top + 37, details, "soft")
        + _text(_MARGIN + 12, top + 53, f"gives {block.gives}", "soft")
    )


def _rule(pieces: list[str], top: float, title: str, lines: Sequence[str]) -> float:
    """Adds a line over the whole width with what crosses it; gives where the next box begins."""
    pieces.append(f'<path class="rule" d="M0 {top - 6}H{_WIDTH}"/>')
    pieces.append(_text(_MARGIN, top + 10, title, "rule-name"))
    for number, line in enumerate(lines, start=1):
        pieces.append(_text(_MARGIN, top + 10 + _LINE * number, line, "soft"))
    return top + 10 + _LINE * len(lines) + 12


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    """Text that is cut in its middle where it would be too wide; the whole of it is its title."""
    half = (_MOST_LETTERS - 1) // 2
    short = text if len(text) <= _MOST_LETTERS else f"{text[:half]}\N{HORIZONTAL ELLIPSIS}{text[-half:]}"
    whole = "" if short == text else f"<title>{html.escape(text)}</title>"
    return f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{html.escape(short)}{whole}</text>'
