"""Bytes and counts as people write them: three figures and a unit."""

_PREFIXES = ("", "k", "M", "G", "T", "P")


def format_bytes(size_bytes: float) -> str:
    """A size in bytes.

    Example:
        >>> format_bytes(31_360), format_bytes(512), format_bytes(2_800_000_000)
        ('31.4 kB', '512 B', '2.8 GB')
    """
    number, prefix = _scale(size_bytes)
    return f"{number} {prefix}B"


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
