"""The model card: README.md beside an artefact, with the header that model hubs read.

It says what was trained on what, how well it did, how the artefact was verified, and what is known to limit it. What is
not known is not said.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from thawline import __version__
from thawline.export.certificate import Certificate
from thawline.export.servable import Servable

# By format: what model hubs call its library, and the lines that run it.
_LIBRARIES = {"saved_model": "tf-keras", "keras": "keras", "onnx": "onnx", "litert": "tflite", "openvino": "openvino"}

# More classes than this are named in artefact.json only.
_MOST_CLASSES = 50

_LIMITS = {
    "saved_model": (
        "JPEG, PNG, WebP, GIF and BMP of 24 bits are decoded, TIFF and PPM are not. EXIF's orientation is applied to "
        "JPEG, but not to PNG and WebP; animated WebP is refused."
    ),
}
_PIXELS = "The model takes pixels of one size; reader.py makes them of files as the training did."


def model_card(
    form: str,
    servable: Servable,
    stages: Sequence[str],
    facts: Mapping[str, Any],
    certificate: Certificate | None,
) -> str:
    """The card as Markdown.

    Args:
        form: the format of the artefact.
        servable: what was exported.
        stages: one line for each stage.
        facts: what is known of the training: any of "name", "license", "data", "split", "phases" (a list), "metrics"
            (figures by name), "classes" (recall and precision by class), "calibration" (figures by name), "limits" (a
            list) and "repeat" (a command).
        certificate: how the artefact was verified; None where it was not.

    Example:
        >>> card = model_card("onnx", servable, ["base"], {"metrics": {"accuracy": 0.9}}, None)  # doctest: +SKIP
        >>> card.splitlines()[0]  # doctest: +SKIP
        '---'
    """
    name = str(facts.get("name", "model"))
    sections = [
        _header(form, name, facts),
        f"# {name}\n\nAn image classifier trained and exported by thawline {__version__}."
        if servable.class_names
        else f"# {name}\n\nA model of images, trained and exported by thawline {__version__}.",
        _section("Use", _use(form, servable)),
        _section("Model", "\n".join(f"- {line}" for line in stages)),
        _section("Data", _listed(facts.get("data"))),
        _section("Split", _listed(facts.get("split"))),
        _section("Training", _listed(facts.get("phases"))),
        _section("Metrics", _figures(facts.get("metrics")) + _class_table(facts.get("classes"))),
        _section("Calibration", _figures(facts.get("calibration"))),
        _section("Verification", _verification(certificate)),
        _section("Limits", _limits(form, facts, certificate)),
        _section("Repeat", _code(facts.get("repeat"))),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _header(form: str, name: str, facts: Mapping[str, Any]) -> str:
    """Model hubs' metadata, in YAML."""
    header: dict[str, Any] = {"library_name": _LIBRARIES[form], "tags": ["thawline", form]}
    if facts.get("license"):
        header["license"] = facts["license"]
    metrics = facts.get("metrics") or {}
    if "accuracy" in metrics:
        header["pipeline_tag"] = "image-classification"
        header["metrics"] = ["accuracy"]
        result = {
            "task": {"type": "image-classification"},
            "dataset": {"name": str(facts.get("dataset", "held-out images")), "type": "imagefolder"},
            "metrics": [{"type": "accuracy", "value": round(float(metrics["accuracy"]), 4)}],
        }
        header["model-index"] = [{"name": name, "results": [result]}]
    return f"---\n{yaml.safe_dump(header, sort_keys=False)}---"


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n{text.strip()}" if text.strip() else ""


def _use(form: str, servable: Servable) -> str:
    names = servable.class_names
    shown = ", ".join(names[:_MOST_CLASSES]) + (f" and {len(names) - _MOST_CLASSES} more" if len(names) > 50 else "")
    outputs = ", ".join(f"`{each['name']}` {each['dtype']} {tuple(each['shape'])}" for each in servable.outputs())
    height, width, channels = servable.image_shape
    takes = (
        "`serving_default` takes `image_bytes`, a batch of image files as strings, of any size; `pixels` takes "
        f"`images`, uint8 (n, {height}, {width}, {channels}), 0 to 255"
        if form == "saved_model"
        else f"`images`, uint8 (n, {height}, {width}, {channels}), 0 to 255, for any n"
    )
    reading = servable.reading
    lines = [
        "```\npython reader.py image.jpg\n```\n",
        f"- Takes {takes}. Scaling is inside.",
        f"- Files are read as {reading['color_mode']}, resized to {height}x{width} ({reading['resize']}, "
        f"{reading['interpolation']}); transparent pixels lie on {tuple(reading['background'])}.",
        f"- Gives {outputs}.",
    ]
    return "\n".join(lines + ([f"- Classes: {shown}."] if names else []))


def _listed(content: Any) -> str:
    if content is None:
        return ""
    if isinstance(content, Mapping):
        return "\n".join(f"- {name}: {value}" for name, value in content.items())
    return "\n".join(f"- {line}" for line in ([content] if isinstance(content, str) else content))


def _figures(figures: Mapping[str, Any] | None) -> str:
    if not figures:
        return ""
    rows = "\n".join(f"| {name} | {_number(value)} |" for name, value in figures.items())
    return f"| figure | value |\n|---|---|\n{rows}\n"


def _class_table(classes: Sequence[Mapping[str, Any]] | None) -> str:
    if not classes:
        return ""
    rows = "\n".join(
        f"| {each['name']} | {each['support']} | {_number(each['recall'])} | {_number(each['precision'])} |"
        for each in classes
    )
    return f"\n| class | images | recall | precision |\n|---|---|---|---|\n{rows}\n"


def _verification(certificate: Certificate | None) -> str:
    if certificate is None:
        return "This artefact was not verified."
    verdict = "" if certificate.verified else "**This artefact does not answer as the stack does.** "
    return (
        f"{verdict}Images were sent through the trained stack and, in a process of its own without thawline, through "
        f"this artefact; `certificate.json` has all figures.\n\n```\n{certificate}\n```"
    )


def _limits(form: str, facts: Mapping[str, Any], certificate: Certificate | None) -> str:
    lines = [_LIMITS.get(form, _PIXELS), *(facts.get("limits") or [])]
    lines += [] if facts.get("metrics") else ["How well it does is not known to this card."]
    if certificate is not None:
        lines += [f"{group.kind}: {group.reason}." for group in certificate.groups if group.reason]
    return _listed(lines)


def _code(command: Any) -> str:
    return f"```\n{command}\n```" if command else ""


def _number(value: Any) -> str:
    if value is None or value != value:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value) if not isinstance(value, str) else value
