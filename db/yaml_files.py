"""YAML with places: what is wrong with a file is told with the line it is on."""

from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from domain.errors import Invalid

_SHOWN = 40
"""Characters shown of a value that cannot be read."""


class PlainLoader(yaml.SafeLoader):
    """Safe YAML without aliases: a few lines of these stand for more than any memory holds."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """The next node. ``ComposerError`` for an alias."""
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call] # so in the stubs
            raise yaml.composer.ComposerError(
                None, None, f"*{event.anchor} is an alias, which is not taken; write it out", event.start_mark
            )
        return super().compose_node(parent, index)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value of a node. ``ConstructorError`` for a number or a date that only looks like one."""
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, OverflowError):
            shown = str(node.value)[:_SHOWN]
            raise yaml.constructor.ConstructorError(
                None, None, f"{shown} is no number, day or time that can be read", node.start_mark
            ) from None


def read_mapping(
    text: str, source: str, loader_class: type[PlainLoader], *, refusal: type[Invalid], expected: str
) -> tuple[yaml.MappingNode, dict[Any, Any]]:
    """The mapping that ``text`` holds, as nodes and as data; ``source`` names it in errors.

    Raises ``refusal`` for what is no YAML, no mapping (``expected`` says what is), or holds a key twice or an
    alias.
    """
    try:
        loader = loader_class(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise refusal(f"{source}, line {line}: holds a control character; save it as plain text") from None
    try:
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            raise refusal(f"{source}, line 1: {expected}")
        if doubled := next(_doubled_keys(root), None):
            raise refusal(f"{source}, line {_line(doubled)}: {doubled.value} is given twice")
        return root, loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise refusal(f"{source}, line {line}: not YAML: {error.problem}") from None
    except RecursionError:
        raise refusal(f"{source}: nested too deep") from None
    finally:
        loader.dispose()


def locate(root: yaml.Node, path: Sequence[str | int]) -> tuple[int, list[str | int]]:
    """The line that ``path`` leads to, and the part of the path that the file really has."""
    node, line, known = root, _line(root), list[str | int]()
    for part in path:
        if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = _line(node)
        elif isinstance(node, yaml.MappingNode) and (
            entry := next((kv for kv in node.value if kv[0].value == part), None)
        ):
            line, node = _line(entry[0]), entry[1]
        else:
            continue
        known.append(part)
    return line, known


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _doubled_keys(node: yaml.Node) -> Iterator[yaml.Node]:
    """Keys that occur twice in one mapping: YAML would silently keep the last."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _doubled_keys(item)
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    yield key
                seen.add(key.value)
            yield from _doubled_keys(value)
