"""YAML as recipes take it: plain values only, and no key twice."""

from collections.abc import Hashable
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which takes the last of several values of one key without a word; this one refuses them."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: dict[Hashable, yaml.Node] = {}
        for key_node, _ in node.value:
            # What is merged in by << may be written again, which is what it is for.
            if key_node.tag == "tag:yaml.org,2002:merge" or not isinstance(key_node, yaml.ScalarNode):
                continue
            key = self.construct_object(key_node)
            if key in seen:
                first, again = seen[key].start_mark.line + 1, key_node.start_mark.line + 1
                raise yaml.YAMLError(f"the key {key!r} stands in line {first} and again in line {again}")
            seen[key] = key_node
        return super().construct_mapping(node, deep)


def read_yaml(text: str) -> Any:
    """The plain values that a text in YAML stands for.

    Args:
        text: the text.

    Raises:
        YAMLError: it is no YAML, builds objects, has a key twice, or is nested too deeply.

    Example:
        >>> read_yaml("{epochs: 3}")
        {'epochs': 3}
    """
    try:
        return yaml.load(text, _Loader)  # noqa: S506
    except RecursionError:
        raise yaml.YAMLError("it is nested too deeply") from None
