"""thawline backbones: what a recipe may name as a backbone."""

from dataclasses import asdict

from thawline.cli.output import print_json, print_line, print_table
from thawline.specs import format_range
from thawline.stack import backbones


def print_backbones(*, as_json: bool) -> None:
    """Prints every backbone, the smallest first."""
    known = sorted(map(backbones.find, backbones.names()), key=lambda each: each.weight_count)
    if as_json:
        print_json([asdict(each) for each in known])
        return
    rows = [
        [each.name, f"{each.image_size[0]} x {each.image_size[1]}", format_range(each.value_range), _millions(each)]
        for each in known
    ]
    print_table(["backbone", "image size", "values", "weights"], rows)
    print_line("\nIn a recipe:  stack: [{name: base, backbone: MobileNetV2, trainable: false}, ...]")
    print_line("Pixels are brought to these values by the stack itself.")


def _millions(backbone: backbones.Backbone) -> str:
    return f"{backbone.weight_count / 1e6:.1f} million"
