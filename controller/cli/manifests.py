"""Reads Kubernetes objects from files, directories and standard input.

YAML (many documents to a file) and JSON, lists unfolded, each object with the
place it was read from. Everything that is not a Kubernetes object is refused with
a sentence that names the place and the fix. It judges no object, and knows no kind
but the lists.
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, cast

import orjson

from controller.apis.json import Json
from controller.cli.strictyaml import StrictYamlError, read_yaml

STDIN = "-"
SUFFIXES = frozenset({".yaml", ".yml", ".json"})
"""Of the files that are read in a directory; a file that is named is read whatever its name."""
MAX_FILE_BYTES = 16 * 1024 * 1024
MAX_OBJECTS = 10_000
"""In all, with the items of lists."""

_KUSTOMIZATIONS = frozenset({"kustomization.yaml", "kustomization.yml", "Kustomization"})
_RENDER = "render its directory with `kubectl kustomize` and check what comes out, with -f -"

Object: TypeAlias = dict[str, Json]
ReadStdin: TypeAlias = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Place:
    """Where an object was read."""

    file: str
    """As it was named; `-` is standard input."""
    line: int
    """On which its document starts, from 1."""
    item: int | None = None
    """Its number within a list, from 0."""

    def __str__(self) -> str:
        items = "" if self.item is None else f" items[{self.item}]"
        return f"{self.file}:{self.line}{items}"


@dataclass(frozen=True, slots=True)
class Manifest:
    """One Kubernetes object as it was written: `apiVersion` and `kind` are strings in it."""

    place: Place
    body: Object

    @property
    def api_version(self) -> str:
        """Such as `apps/v1`."""
        return cast("str", self.body["apiVersion"])

    @property
    def kind(self) -> str:
        """Such as `Deployment`."""
        return cast("str", self.body["kind"])


class ManifestError(Exception):
    """What was given cannot be read as Kubernetes objects; told in one line."""

    def __init__(self, place: Place | str, problem: str) -> None:
        # A name in a manifest may hold line ends: it must not look like a line of ours.
        super().__init__(f"{place}: {problem}".replace("\n", "�"))
        self.place = place
        self.problem = problem


def read_manifests(names: Iterable[str], *, read_stdin: ReadStdin) -> list[Manifest]:
    """Every object in the files, in the order in which they are named.

    Args:
        names: files, directories (read with all below them, in order of path) and `-`.
        read_stdin: gives at most so many bytes of standard input.

    Raises:
        ManifestError: a file cannot be read, or holds something else; the first such.
    """
    found: list[Manifest] = []
    for file in _files(names):
        content = _content(file, read_stdin)
        for place, document in _documents(file, content):
            found.extend(_objects(place, document))
            if len(found) > MAX_OBJECTS:
                problem = f"makes more than {MAX_OBJECTS} objects; check them in parts"
                raise ManifestError(place, problem)
    return found


def _files(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        if name == STDIN or not Path(name).is_dir():
            yield name
            continue
        below = sorted(_manifests_below(name))
        if not below:
            raise ManifestError(name, "holds no .yaml, .yml or .json file; name another directory")
        yield from below


def _manifests_below(directory: str) -> Iterator[str]:
    def refuse(error: OSError) -> None:
        raise ManifestError(str(error.filename), _reason(error)) from error

    for folder, _, files in os.walk(directory, onerror=refuse):
        for file in files:
            path = Path(folder, file)
            if file in _KUSTOMIZATIONS:
                raise ManifestError(str(path), f"is for kustomize; {_RENDER}")
            if path.suffix in SUFFIXES and path.is_file():
                yield str(path)


def _content(file: str, read_stdin: ReadStdin) -> bytes:
    try:
        if file == STDIN:
            content = read_stdin(MAX_FILE_BYTES + 1)
        else:
            with Path(file).open("rb") as opened:
                content = opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ManifestError(file, _reason(error)) from error
    except ValueError as error:  # a NUL in the name
        raise ManifestError(file, f"is not a file's name: {error}") from error
    if len(content) > MAX_FILE_BYTES:
        raise ManifestError(file, f"is larger than {MAX_FILE_BYTES} bytes; check it in parts")
    return content


def _reason(error: OSError) -> str:
    return f"cannot be read: {error.strerror or error}"


def _documents(file: str, content: bytes) -> Iterator[tuple[Place, Json]]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problem = "is not UTF-8; save it in that encoding"
        raise ManifestError(Place(file, line), problem) from error
    if text.lstrip().startswith("{"):
        try:
            yield from _json_documents(file, text)
        except json.JSONDecodeError as error:
            # A flow mapping of YAML starts so, too; where the suffix says JSON it is none.
            if Path(file).suffix == ".json":
                problem = f"is not JSON: {error.msg}, column {error.colno}"
                raise ManifestError(Place(file, error.lineno), problem) from error
        else:
            return
    try:
        for document in read_yaml(text):
            yield Place(file, document.line), document.value
    except StrictYamlError as error:
        raise ManifestError(Place(file, error.line), error.problem) from error


def _json_documents(file: str, text: str) -> list[tuple[Place, Json]]:
    """One value after the other, as `kubectl get -o json` and JSON lines have them."""
    found: list[tuple[Place, Json]] = []
    end, line = 0, 1
    while (start := _next(text, end)) < len(text):
        line += text.count("\n", end, start)
        place = Place(file, line)
        end = _end_of_json(place, text, start)
        found.append((place, _json_value(place, text[start:end])))
        line += text.count("\n", start, end)
    return found


_SPACE = re.compile(r"[ \t\r\n]*")


def _next(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _end_of_json(place: Place, text: str, start: int) -> int:
    """Where the value ends; what it is, `_json_value` reads as the webhook does."""
    try:
        return json.JSONDecoder(parse_int=str, parse_float=str).raw_decode(text, start)[1]
    except RecursionError as error:
        raise ManifestError(place, "is nested deeper than 250 levels; flatten it") from error


def _json_value(place: Place, text: str) -> Json:
    try:
        value = orjson.loads(text)
        orjson.dumps(value)
    except orjson.JSONDecodeError as error:
        where = Place(place.file, place.line + error.lineno - 1)
        raise ManifestError(where, f"is not JSON: {error.msg}, column {error.colno}") from error
    except TypeError as error:
        raise ManifestError(place, "is nested deeper than 250 levels; flatten it") from error
    _refuse_key_twice(place, text)
    return cast("Json", value)


_JSON_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"(?P<colon>\s*:)?|[{}\n]')


def _refuse_key_twice(place: Place, text: str) -> None:
    """The parser keeps the last of two keys, and says nothing; `text` is valid JSON."""
    line = place.line
    open_objects: list[set[str]] = []
    for token in _JSON_TOKEN.finditer(text):
        written = token[0]
        if written == "{":
            open_objects.append(set())
        elif written == "}":
            open_objects.pop()
        elif token["colon"]:
            key = str(orjson.loads(written[: -len(token["colon"])]))
            if key in open_objects[-1]:
                problem = f"the key {key[:80]!r} is here twice in one object; remove one"
                raise ManifestError(Place(place.file, line), problem)
            open_objects[-1].add(key)
        line += written.count("\n")


def _objects(place: Place, document: Json) -> Iterator[Manifest]:
    """The object, or those of a list; a list within a list is not unfolded again."""
    manifest = _manifest(place, document)
    items = manifest.body.get("items")
    if not manifest.kind.endswith("List") or not isinstance(items, list):
        yield manifest
        return
    for index, item in enumerate(items):
        within = Place(place.file, place.line, index)
        yield _manifest(within, _with_kind_of_list(item, manifest))


def _with_kind_of_list(item: Json, whole: Manifest) -> Json:
    """The API server leaves `kind` out of the items of a typed list, say a PodList."""
    kind = whole.kind.removesuffix("List")
    if not isinstance(item, dict) or not kind or "kind" in item or "apiVersion" in item:
        return item
    return {"apiVersion": whole.api_version, "kind": kind, **item}


def _manifest(place: Place, document: Json) -> Manifest:
    if not isinstance(document, dict):
        problem = "is not a Kubernetes object; start it with apiVersion and kind"
        raise ManifestError(place, problem)
    for field, example in (("apiVersion", "apps/v1"), ("kind", "Deployment")):
        value = document.get(field)
        if not isinstance(value, str) or not value:
            given = "is missing" if value is None else "is not a text"
            raise ManifestError(place, f"{field} {given}; write one, such as {example}")
    return Manifest(place, document)
