"""Bytes, counts and times as people write them."""

import re
from decimal import Decimal

from thawline.errors import ArgumentError

_PREFIXES = ("", "k", "M", "G", "T", "P")

# A number, then a prefix of thousands (GB) or of 1024s (GiB).
_SIZE = re.compile(r"(\d*\.?\d+)\s*([kmgtp]?)(i?)b?", re.IGNORECASE)

# Numbers with units of time.
_TIME = re.compile(r"(\d*\.?\d+)\s*(h|min|m|s|)(?![a-z])", re.IGNORECASE)
_SECONDS = {"h": 3600, "min": 60, "m": 60, "s": 1, "": 1}


def format_bytes(size_bytes: float) -> str:
    """A size in bytes.

    Example:
        >>> format_bytes(31_360), format_bytes(512), format_bytes(2_800_000_000)
        ('31.4 kB', '512 B', '2.8 GB')
    """
    number, prefix = _scale(size_bytes)
    return f"{number} {prefix}B"


def parse_bytes(text: str) -> int:
    """The bytes that a size stands for.

    Args:
        text: a number of bytes, or a number with a unit: 500000, 500MB (thousands), 1.5GiB (1024s).

    Raises:
        ArgumentError: it is neither.

    Example:
        >>> parse_bytes("500000"), parse_bytes("31.4 kB"), parse_bytes("1.5GiB")
        (500000, 31400, 1610612736)
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None or (found[3] and not found[2]):
        raise ArgumentError(f"A size is a number of bytes, like 500000, 500MB, 10GB or 1.5GiB; got {text!r}.")
    exponent = _PREFIXES.index(found[2].upper().replace("K", "k"))
    return int(Decimal(found[1]) * (1024 if found[3] else 1000) ** exponent)


def parse_seconds(text: str) -> float:
    """The seconds that a time stands for.

    Args:
        text: a number of seconds, or numbers with units: 90, 90s, 30min, 1.5h, 1h30min.

    Raises:
        ArgumentError: it is neither.

    Example:
        >>> parse_seconds("90"), parse_seconds("30min"), parse_seconds("1 h 30 min")
        (90.0, 1800.0, 5400.0)
    """
    parts = _TIME.findall(text)
    if not parts or _TIME.sub("", text).strip() or (len(parts) > 1 and any(not unit for _, unit in parts)):
        raise ArgumentError(f"A time is a number of seconds, like 90, 90s, 30min, 1.5h or 1h30min; got {text!r}.")
    return float(sum(float(number) * _SECONDS[unit.lower()] for number, unit in parts))


def format_count(count: float) -> str:
    """A number of things.

    Example:
        >>> format_count(312_345_678), format_count(999_999), format_count(7)
        ('312 M', '1 M', '7')
    """
    number, prefix = _scale(count)
    return f"{number} {prefix}".rstrip()


def _scale(value: float) -> tuple[str, str]:
    """Three figures, and the prefix of the thousands that were taken out."""
    index = 0
    # 999.5 would be written as 1000.
    while value >= 999.5 and index < len(_PREFIXES) - 1:
        value, index = value / 1000, index + 1
    digits = 0 if value >= 99.95 or index == 0 else 1
    return f"{value:.{digits}f}".removesuffix(".0"), _PREFIXES[index]


def counted(count: int, one: str, many: str | None = None) -> str:
    """A number with its noun.

    Example:
        >>> counted(1, "image"), counted(1200, "image"), counted(2, "class", "classes")
        ('1 image', '1,200 images', '2 classes')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"
