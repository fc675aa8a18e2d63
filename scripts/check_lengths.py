"""Fails when a source file outgrows its noun: more than 500 lines."""

import sys
from pathlib import Path

LIMIT = 500


def main() -> int:
    """Names every file that is too long; the number of them is the exit code's reason."""
    root = Path(__file__).resolve().parent.parent
    folders = ("src", "tests", "examples", "benchmarks", "scripts")
    files = [path for folder in folders for path in (root / folder).rglob("*.py")]
    lengths = {path.relative_to(root): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    long = {path: length for path, length in lengths.items() if length > LIMIT}
    for path, length in sorted(long.items()):
        sys.stderr.write(f"{path}: {length} lines, at most {LIMIT} are allowed. Split it by its nouns.\n")
    sys.stdout.write(f"{len(lengths)} files, the longest has {max(lengths.values())} lines\n")
    return 1 if long else 0


if __name__ == "__main__":
    sys.exit(main())
