"""Export: a stack -> one artefact for each format, verified."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from thawline import __version__
from thawline.data.reading import Reading
from thawline.errors import ArgumentError, ExportError, ThawlineError
from thawline.export.artefact import EARLIER, UNVERIFIED, Artefact, check_free, read_facts, write_facts
from thawline.export.card import model_card
from thawline.export.certificate import Certificate
from thawline.export.golden import gather
from thawline.export.reader import write_reader
from thawline.export.servable import Servable, make_servable
from thawline.export.trust import PROGRAMS, note_own
from thawline.export.verify import Expected, verify
from thawline.files import put_folder_in_place, working_folder, write_json
from thawline.stack.series import StageSeries

# Where each format is written; a module has `write` and `FILE`.
FORMATS = {
    "saved_model": "thawline.export.saved_model",
    "keras": "thawline.export.keras_file",
    "onnx": "thawline.export.onnx",
    "litert": "thawline.export.litert",
    "openvino": "thawline.export.openvino",
}


@dataclass(frozen=True)
class ExportOptions:
    """How to export.

    Attributes:
        golden: held-out images to verify on: files or uint8 arrays.
        verifies: whether to compare each artefact with the stack.
        facts: what the model card may say of the training; see `thawline.export.card.model_card`.
        announce: who is told what happens; None for nobody.
    """

    golden: Sequence[str | Path | np.ndarray] = ()
    verifies: bool = True
    facts: Mapping[str, Any] = field(default_factory=dict)
    announce: Callable[[str], Any] | None = None


@dataclass(frozen=True)
class Exported:
    """One artefact, or why there is none.

    Attributes:
        format: the format.
        artefact: where it lies; None where the stack cannot be exported in this format.
        certificate: how it was verified; None where it was not.
        refused: why there is none.
    """

    format: str
    artefact: Artefact | None
    certificate: Certificate | None = None
    refused: str = ""

    @property
    def is_good(self) -> bool:
        """Whether there is an artefact and nothing speaks against it."""
        return self.artefact is not None and self.artefact.verified is not False

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "format": self.format,
            "path": None if self.artefact is None else str(self.artefact.path),
            "verified": None if self.artefact is None else self.artefact.verified,
            "refused": self.refused,
            "certificate": None if self.certificate is None else self.certificate.as_dict(),
        }

    def __str__(self) -> str:
        if self.artefact is None:
            return f"{self.format}: {self.refused}"
        told = f"{self.format}: not verified" if self.certificate is None else str(self.certificate)
        earlier = self.artefact.path.with_name(f"{self.format}{EARLIER}")
        if not self.is_good and earlier.exists():
            told += f"\n  what was exported before is kept as {earlier.name}"
        return f"{told}\n  -> {self.artefact.path}"


def export(
    series: StageSeries, folder: Path, formats: Sequence[str], *, reading: Reading, options: ExportOptions
) -> list[Exported]:
    """One artefact for each format, in `folder/<format>`; see `thawline.Stack.export`.

    A format that the stack cannot be exported in does not keep others from being exported.

    Args:
        series: the stack.
        folder: where artefacts go.
        formats: "saved_model", "keras", "onnx", "litert" or "openvino".
        reading: how images were read, as `thawline.data.reading.describe_reading` gives it.
        options: what to verify on, and what the card may say.

    Raises:
        ArgumentError: a format is not known, or something else lies where an artefact would.
        ExportError: no format can say what is done to pixels.
    """
    unknown = [form for form in formats if form not in FORMATS]
    if unknown or not formats:
        came = repr(unknown[0]) if unknown else "none"
        raise ArgumentError(f"A format is one of {', '.join(map(repr, FORMATS))}; got {came}.")
    for form in formats:
        for ending in ("", UNVERIFIED, EARLIER):
            check_free(folder / f"{form}{ending}")
    servable = make_servable(series, reading)
    expected = None
    if options.verifies:
        expected = Expected(series, servable, gather(options.golden, servable.decoding.image_size))
    done = []
    for form in dict.fromkeys(formats):
        try:
            done.append(_export_one(series, servable, folder, form, expected, options))
        except ThawlineError as error:
            if len(formats) == 1:
                raise
            done.append(Exported(form, None, refused=str(error)))
        if options.announce is not None:
            options.announce(str(done[-1]))
    return done


def refuse_bad(exported: list[Exported]) -> list[Exported]:
    """The same, unless something speaks against one.

    Raises:
        ExportError: an artefact does not answer as the stack does, or there is none.
    """
    bad = [str(each) for each in exported if not each.is_good]
    if bad:
        raise ExportError("Not everything was exported as it should be. " + "\n".join(bad))
    return exported


def _export_one(
    series: StageSeries, servable: Servable, folder: Path, form: str, expected: Expected | None, options: ExportOptions
) -> Exported:
    """Makes an artefact under a temporary name, verifies it there, and gives it its name."""
    module = import_module(FORMATS[form])
    certificate = None
    with working_folder(folder, ".exporting-") as made:
        (made / module.FILE).parent.mkdir(parents=True, exist_ok=True)
        module.write(servable, made)
        write_reader(made / "reader.py", form, __version__)
        facts = {
            "version": 1,
            "thawline": __version__,
            "format": form,
            "model": module.FILE,
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "image_shape": list(servable.image_shape),
            "dtype": "uint8",
            "value_range": [0, 255],
            "reading": servable.reading,
            "class_names": list(servable.class_names),
            "outputs": servable.outputs(),
            "verified": None,
        }
        write_facts(made, facts)
        if expected is not None:
            certificate = verify(made, form, servable, expected)
            facts["verified"] = certificate.verified
            write_json(made / "certificate.json", certificate.as_dict())
            (made / "certificate.txt").write_text(f"{certificate}\n", encoding="utf-8")
        card = model_card(form, servable, _stage_lines(series), options.facts, certificate)
        (made / "README.md").write_text(card, encoding="utf-8")
        # Python leaves what it compiled of the reader.
        shutil.rmtree(made / "__pycache__", ignore_errors=True)
        write_facts(made, facts)
        return Exported(form, _put_in_place(made, folder, facts), certificate)


def _put_in_place(made: Path, folder: Path, facts: Mapping[str, Any]) -> Artefact:
    """Gives an artefact its name, so that what is called by the format alone is never another one than asked for."""
    form = facts["format"]
    named, unverified, earlier = (folder / f"{form}{ending}" for ending in ("", UNVERIFIED, EARLIER))
    target = named if facts["verified"] is not False else unverified
    put_folder_in_place(made, target)
    if target == unverified and named.exists():
        put_folder_in_place(named, earlier)
    if facts["verified"]:
        # Those of an earlier time are right no more than they were.
        for old in (unverified, earlier):
            shutil.rmtree(old, ignore_errors=True)
    if form in PROGRAMS:
        note_own(read_facts(target)["files"], target)
    return Artefact.open(target, trust=True)


def _stage_lines(series: StageSeries) -> list[str]:
    return [f"{stage.name}: {stage.model.count_params():,} weights" for stage in series.stages]
