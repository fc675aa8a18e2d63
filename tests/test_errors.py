"""The tree of errors: one root, the builtin that users expect, an exit code."""

import builtins
import inspect
import re

import pytest

from thawline import errors

CLASSES = {name: value for name, value in vars(errors).items() if inspect.isclass(value)}
# The tree that the module's docstring draws: name, and the builtin behind "also".
DRAWN = dict(re.findall(r"── (\w+).*?(?:\(also (\w+)\))?$", errors.__doc__, re.MULTILINE))


def drawn_parents():
    """Each class of the drawing with the one above it, by the depth of its branch."""
    parents, path = {}, ["ThawlineError"]
    for line in errors.__doc__.splitlines():
        branch = re.search(r"[├└]── (\w+)", line)
        if branch:
            depth = branch.start() // 4
            path[depth:] = [branch.group(1)]
            parents[branch.group(1)] = path[depth - 1]
    return parents


def test_the_tree_is_drawn_whole():
    assert set(DRAWN) | {"ThawlineError"} == set(CLASSES)


@pytest.mark.parametrize("name", CLASSES)
def test_every_error_has_the_root_and_the_parent_that_is_drawn(name):
    error = CLASSES[name]
    assert issubclass(error, errors.ThawlineError)
    if name != "ThawlineError":
        assert CLASSES[drawn_parents()[name]] in error.__bases__


@pytest.mark.parametrize(("name", "builtin"), [(name, builtin) for name, builtin in DRAWN.items() if builtin])
def test_every_error_is_the_builtin_that_is_drawn(name, builtin):
    assert issubclass(CLASSES[name], getattr(builtins, builtin))


@pytest.mark.parametrize("name", CLASSES)
def test_every_error_says_what_it_was_told_and_has_an_exit_code(name):
    error = CLASSES[name]("Stage 'head' expects 2048 channels.")
    assert str(error) == "Stage 'head' expects 2048 channels."
    assert error.exit_code in (1, 2)


def test_wrong_requests_exit_with_2_and_failed_work_with_1():
    assert errors.ArgumentError.exit_code == errors.FolderNotFoundError.exit_code == 2
    assert errors.UnreadableImageError.exit_code == errors.CacheFullError.exit_code == 1
