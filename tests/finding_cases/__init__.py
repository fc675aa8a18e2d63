"""The smallest case of every finding, and the nearest one without it.

A case is a function of one argument: with True it gives the findings of something that has the mistake, with False
those of the same thing without it. `tests/check/test_codes.py` calls each of them both ways.
"""

from finding_cases import files, habits, heads, stacks

CASES = {**files.CASES, **stacks.CASES, **heads.CASES, **habits.CASES}
