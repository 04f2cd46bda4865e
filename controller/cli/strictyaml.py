"""Reads YAML into plain JSON values as Kubernetes' own tools read it, but strictly.

Scalars mean what they mean to kubectl (YAML 1.1 booleans, octal integers, dates
as strings). Refused, where kubectl guesses or keeps the last: a key twice, a key
that is not a string, a tag of no JSON type, an alias that holds itself, and
aliases that unfold beyond a bound. It knows nothing of Kubernetes objects.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeAlias, cast

import yaml
from yaml.reader import ReaderError

from controller.apis.json import Json

MAX_DEPTH = 200
"""Levels of nesting; an AdmissionReview is judged up to 250."""
MAX_UNFOLDED = 32 * 1024 * 1024
"""Characters and values of one document with every alias written out."""

_TAG = "tag:yaml.org,2002:"
_SCALAR_TAGS: dict[str, tuple[type, ...]] = {
    f"{_TAG}bool": (bool,),
    f"{_TAG}int": (int,),
    f"{_TAG}float": (float, int),
    f"{_TAG}null": (type(None),),
}
_WORDS: dict[str, Json] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE"), True),
    **dict.fromkeys(("on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE"), False),
    **dict.fromkeys(("off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}
_NOT_JSON = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_INTEGER = re.compile(
    r"(?P<sign>[-+]?)"
    r"(?:0[xX](?P<hex>[0-9a-fA-F]+)|0[bB](?P<bin>[01]+)|0[oO]?(?P<oct>[0-7]+)|(?P<dec>0|[1-9][0-9]*))"
)
_BASES = {"hex": 16, "bin": 2, "oct": 8, "dec": 10}
_DECIMAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NUMERIC_START = frozenset("+-.0123456789")


class StrictYamlError(Exception):
    """The text is not the YAML that is accepted; `line` counts from 1."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"line {line}: {problem}")
        self.line = line
        self.problem = problem


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """One document of a stream, and the line on which its content starts."""

    line: int
    value: Json


def read_yaml(text: str) -> Iterator[YamlDocument]:
    """Every document of a stream, in order; empty ones are left out.

    Raises:
        StrictYamlError: the text is not YAML, or not as strict as is asked for.
    """
    builder = _Builder()
    try:
        # libyaml, of which Kubernetes' own parser is a port; it does not recurse.
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            document = builder.take(event)
            if document is not None and document.value is not None:
                yield document
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise StrictYamlError(line, f"is not YAML: {_said(error)}") from error
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problem = f"holds the character #x{error.character:04x}, which YAML does not allow"
        raise StrictYamlError(line, problem) from error


def resolve_scalar(text: str) -> Json:
    """What a plain scalar means to Kubernetes: null, a boolean, a number or a string.

    Raises:
        ValueError: it is a number that JSON does not have.
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMERIC_START:
        return text
    if _NOT_JSON.fullmatch(text):
        raise ValueError("JSON has no infinity and no NaN; write a number, or quote it")
    if text[0] == ".":
        return _decimal(text, text)
    digits = text.replace("_", "")
    integer = _integer(digits)
    return _decimal(digits, text) if integer is None else integer


def _integer(digits: str) -> int | float | None:
    """An integer of 64 bits, signed or not; beyond that it is a decimal or a string."""
    match = _INTEGER.fullmatch(digits)
    if match is None:
        return None
    base = cast("str", match.lastgroup)
    if base == "dec" and len(match[base]) > len(str(2**64)):
        return None
    value = int(match[base], _BASES[base])
    if match["sign"] == "-":
        value = -value
    if -(2**63) <= value < 2**63:
        return value
    # An unsigned one does not fit into what the API server keeps of a number without a schema.
    return _as_go_writes(float(value)) if 0 < value < 2**64 and not match["sign"] else None


def _decimal(digits: str, text: str) -> Json:
    if not _DECIMAL.fullmatch(digits):
        return text
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        return text  # too large for a number, so kubectl takes it for a string
    return _as_go_writes(value)


def _as_go_writes(value: float) -> int | float:
    """A whole float as its reader finds it: Go writes its shortest digits, zeros and no point.

    Beyond the 64 bits of integers, our own reader makes a float of that again.
    """
    if not value.is_integer():
        return value
    whole = int(Decimal(repr(value)))
    return whole if -(2**63) <= whole < 2**64 else value


@dataclass(frozen=True, slots=True)
class _Node:
    """A finished value, and what it costs to write it out."""

    value: Json
    weight: int
    depth: int
    line: int
    is_merge_key: bool = False


@dataclass(slots=True)
class _Mapping:
    """A mapping that is being read."""

    line: int
    anchor: str | None
    weight_before: int
    value: dict[str, Json] = field(default_factory=dict[str, Json])
    depth: int = 1
    key: str | None = None
    """Read already, its value not."""
    is_merging: bool = False
    """The key was `<<`."""
    lines: dict[str, int] = field(default_factory=dict[str, int])
    """Where each key of its own was written; merged ones are not here."""

    def add(self, node: _Node) -> None:
        self.depth = max(self.depth, node.depth + 1)
        if self.is_merging:
            self.is_merging = False
            self._merge(node)
        elif self.key is not None:
            self.value[self.key] = node.value
            self.key = None
        elif node.is_merge_key:
            self.is_merging = True
        else:
            self._take_key(node)

    def _take_key(self, node: _Node) -> None:
        key = node.value
        if not isinstance(key, str):
            shown = "a list or an object" if isinstance(key, list | dict) else json.dumps(key)
            raise StrictYamlError(node.line, f"the key {shown} is not a string; put it in quotes")
        if key in self.lines:
            problem = f"the key {key[:80]!r} is here twice, first on line {self.lines[key]}"
            raise StrictYamlError(node.line, f"{problem}; remove one")
        self.lines[key] = node.line
        self.key = key

    def _merge(self, node: _Node) -> None:
        """In the order of the text, and within a list the first wins: as kubectl merges."""
        merged = node.value if isinstance(node.value, list) else [node.value]
        for mapping in reversed(merged):
            if not isinstance(mapping, dict):
                raise StrictYamlError(node.line, "<< merges something that is not an object")
            self.value.update(mapping)


@dataclass(slots=True)
class _Sequence:
    """A list that is being read."""

    line: int
    anchor: str | None
    weight_before: int
    value: list[Json] = field(default_factory=list[Json])
    depth: int = 1

    def add(self, node: _Node) -> None:
        self.depth = max(self.depth, node.depth + 1)
        self.value.append(node.value)


_Open: TypeAlias = _Mapping | _Sequence


class _Builder:
    """Builds values from the parser's events with a stack of its own: input cannot recurse it."""

    def __init__(self) -> None:
        self._open: list[_Open] = []
        self._anchors: dict[str, _Node | None] = {}
        """None while the anchor's own value is still being read."""
        self._weight = 0
        self._root: YamlDocument | None = None

    def take(self, event: yaml.Event) -> YamlDocument | None:
        """Take one event; gives the document that it ends."""
        if isinstance(event, yaml.DocumentStartEvent):
            self._anchors, self._weight, self._root = {}, 0, None
        elif isinstance(event, yaml.DocumentEndEvent):
            return self._root
        elif isinstance(event, yaml.AliasEvent):
            self._add(self._aliased(event))
        elif isinstance(event, yaml.ScalarEvent):
            self._add(self._scalar(event))
        elif isinstance(event, yaml.CollectionStartEvent):
            self._start(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._end()
        return None

    def _start(self, event: yaml.CollectionStartEvent) -> None:
        line = _line(event)
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in (None, "!", f"{_TAG}{'map' if is_mapping else 'seq'}"):
            raise _unknown_tag(line, event.tag)
        if len(self._open) >= MAX_DEPTH:
            raise StrictYamlError(line, f"is nested deeper than {MAX_DEPTH} levels; flatten it")
        self._spend(1, line)
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        kind = _Mapping if is_mapping else _Sequence
        self._open.append(kind(line, event.anchor, self._weight))

    def _end(self) -> None:
        done = self._open.pop()
        node = _Node(done.value, self._weight - done.weight_before + 1, done.depth, done.line)
        if done.anchor is not None:
            self._anchors[done.anchor] = node
        self._add(node)

    def _add(self, node: _Node) -> None:
        if self._open:
            self._open[-1].add(node)
        else:
            self._root = YamlDocument(node.line, node.value)

    def _scalar(self, event: yaml.ScalarEvent) -> _Node:
        line = _line(event)
        weight = len(event.value) + 1
        self._spend(weight, line)
        is_plain = event.implicit[0]
        is_merge_key = is_plain and event.value == "<<"
        node = _Node(_scalar_value(event, line), weight, 0, line, is_merge_key)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _aliased(self, event: yaml.AliasEvent) -> _Node:
        line = _line(event)
        if event.anchor not in self._anchors:
            raise StrictYamlError(line, f"*{event.anchor} names no anchor before it")
        node = self._anchors[event.anchor]
        if node is None:
            raise StrictYamlError(line, f"*{event.anchor} stands inside its own anchor")
        if len(self._open) + node.depth > MAX_DEPTH:
            raise StrictYamlError(line, f"is nested deeper than {MAX_DEPTH} levels; flatten it")
        self._spend(node.weight, line)
        return _Node(node.value, node.weight, node.depth, line)

    def _spend(self, weight: int, line: int) -> None:
        self._weight += weight
        if self._weight > MAX_UNFOLDED:
            problem = "its aliases unfold to more than can be judged; write less of it out"
            raise StrictYamlError(line, problem)


def _scalar_value(event: yaml.ScalarEvent, line: int) -> Json:
    is_plain, is_quoted = event.implicit
    tag = event.tag
    if tag == f"{_TAG}str" or (tag is None and is_quoted and not is_plain) or tag == "!":
        return event.value
    if tag is not None and tag not in _SCALAR_TAGS:
        raise _unknown_tag(line, tag)
    try:
        value = resolve_scalar(event.value)
    except ValueError as error:
        raise StrictYamlError(line, f"{event.value}: {error}") from error
    if tag is not None and type(value) not in _SCALAR_TAGS[tag]:
        shown = event.value[:80]
        raise StrictYamlError(line, f"{shown!r} is no {tag.removeprefix(_TAG)}; remove the tag")
    return value


def _unknown_tag(line: int, tag: str) -> StrictYamlError:
    shown = tag.replace(_TAG, "!!")[:80]
    return StrictYamlError(line, f"the tag {shown} has no meaning to Kubernetes; remove it")


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _said(error: yaml.MarkedYAMLError) -> str:
    return " ".join(part for part in (error.context, error.problem) if part)
