"""Files, directories and standard input become objects, or a sentence about the place."""

from pathlib import Path

import orjson
import pytest

from controller.cli import manifests
from controller.cli.manifests import Manifest, ManifestError, Place, read_manifests

CONFIGMAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"


def read(*names: str | Path, stdin: bytes | None = None) -> list[Manifest]:
    def given(size: int) -> bytes:
        assert stdin is not None, "standard input was read"
        return stdin[:size]

    return read_manifests([str(name) for name in names], read_stdin=given)


def read_text(folder: Path, text: str | bytes, name: str = "x.yaml") -> list[Manifest]:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read(path)


def refusal(folder: Path, text: str | bytes, name: str = "x.yaml") -> str:
    with pytest.raises(ManifestError) as caught:
        read_text(folder, text, name)
    return str(caught.value).removeprefix(f"{folder}/")


def names(found: list[Manifest]) -> list[object]:
    metadata = [manifest.body.get("metadata") for manifest in found]
    return [one.get("name") if isinstance(one, dict) else None for one in metadata]


def test_each_document_of_a_file_is_an_object_with_its_place(tmp_path: Path) -> None:
    found = read_text(tmp_path, f"{CONFIGMAP}---\n# a second\n{CONFIGMAP}")
    assert [str(manifest.place) for manifest in found] == [
        f"{tmp_path}/x.yaml:1",
        f"{tmp_path}/x.yaml:6",
    ]
    assert [(one.api_version, one.kind) for one in found] == [("v1", "ConfigMap")] * 2


def test_a_directory_is_read_with_all_below_it_in_the_order_of_paths(tmp_path: Path) -> None:
    for name in ("b.yml", "a/z.yaml", "a/b/c.json", "notes.md", "c.yaml.bak"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
        path.write_bytes(orjson.dumps(body))
    assert names(read(tmp_path)) == ["a/b/c.json", "a/z.yaml", "b.yml"]


def test_a_file_that_is_named_is_read_whatever_its_name(tmp_path: Path) -> None:
    assert len(read_text(tmp_path, CONFIGMAP, "rendered.out")) == 1


def test_a_dash_is_standard_input() -> None:
    found = read("-", stdin=CONFIGMAP.encode())
    assert [str(manifest.place) for manifest in found] == ["-:1"]


def test_files_are_read_in_the_order_in_which_they_are_named(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).write_text(CONFIGMAP.replace("name: a", f"name: {name}"))
    assert names(read(tmp_path / "b", tmp_path / "a")) == ["b", "a"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", [], id="an empty file has no object"),
        pytest.param("# nothing\n---\n---\n", [], id="nor has one of comments"),
        pytest.param("{apiVersion: v1, kind: ConfigMap}", [None], id="a flow mapping of YAML"),
        pytest.param('{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"}}', ["p"], id="JSON"),
        pytest.param(
            '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"}}\n'
            '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"q"}}\n',
            ["p", "q"],
            id="one JSON object after the other",
        ),
        pytest.param(
            '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"\\ud83d\\ude00"}}',
            ["😀"],
            id="JSON's own escapes, which YAML does not know",
        ),
        pytest.param(f"\ufeff{CONFIGMAP}", ["a"], id="a byte order mark"),
        pytest.param("apiVersion: v1\nkind: List\nitems: []", [], id="an empty list"),
    ],
)
def test_a_text_is_read(tmp_path: Path, text: str, expected: list[object]) -> None:
    assert names(read_text(tmp_path, text)) == expected


def test_a_list_is_unfolded_into_its_items(tmp_path: Path) -> None:
    items = "[{apiVersion: v1, kind: Pod}, {apiVersion: v1, kind: Secret}]"
    text = f"apiVersion: v1\nkind: List\nitems: {items}\n"
    found = read_text(tmp_path, text)
    assert [manifest.kind for manifest in found] == ["Pod", "Secret"]
    assert [str(manifest.place) for manifest in found] == [
        f"{tmp_path}/x.yaml:1 items[0]",
        f"{tmp_path}/x.yaml:1 items[1]",
    ]


def test_the_items_of_a_typed_list_are_of_its_kind(tmp_path: Path) -> None:
    (found,) = read_text(tmp_path, "apiVersion: apps/v1\nkind: DeploymentList\nitems: [{spec: {}}]")
    assert (found.api_version, found.kind) == ("apps/v1", "Deployment")


def test_a_kind_that_only_sounds_like_a_list_is_an_object(tmp_path: Path) -> None:
    (found,) = read_text(tmp_path, "apiVersion: example.com/v1\nkind: AllowList\nspec: {items: []}")
    assert found.kind == "AllowList"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("a: 1\na: 2", "x.yaml:2: the key 'a' is here twice", id="a key twice"),
        pytest.param("a: b: c", "x.yaml:1: is not YAML", id="no YAML"),
        pytest.param("- a", "x.yaml:1: is not a Kubernetes object", id="a list"),
        pytest.param("hello", "x.yaml:1: is not a Kubernetes object", id="a text"),
        pytest.param(f"{CONFIGMAP}---\n3", "x.yaml:5: is not a Kubernetes object", id="a number"),
        pytest.param("kind: Pod", "x.yaml:1: apiVersion is missing; write one", id="no version"),
        pytest.param("apiVersion: v1", "x.yaml:1: kind is missing; write one", id="no kind"),
        pytest.param(
            "apiVersion: 1\nkind: Pod", "apiVersion is not a text", id="a numeric version"
        ),
        pytest.param("apiVersion: v1\nkind: ''", "kind is not a text", id="an empty kind"),
        pytest.param(
            "apiVersion: v1\nkind: List\nitems: [3]",
            "x.yaml:1 items[0]: is not a Kubernetes object",
            id="a number in a list",
        ),
        pytest.param(
            "apiVersion: v1\nkind: List\nitems: [{apiVersion: v1}]",
            "x.yaml:1 items[0]: kind is missing",
            id="an item without kind",
        ),
        pytest.param(b"a: \xff", "x.yaml:1: is not UTF-8; save it", id="another encoding"),
        pytest.param("a: 1".encode("utf-16"), "x.yaml:1: is not UTF-8", id="UTF-16"),
    ],
)
def test_what_is_no_kubernetes_object_is_refused_with_its_place(
    tmp_path: Path, text: str | bytes, said: str
) -> None:
    assert said in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param('{"a": 1,\n "a": 2}', "x.json:2: the key 'a' is here twice", id="a key twice"),
        pytest.param('{"a": {"b": 1, "\\u0062": 2}}', "the key 'b' is here twice", id="escaped"),
        pytest.param('{"a": 1,\n}', "x.json:2: is not JSON", id="a trailing comma"),
        pytest.param('{"kind": 1} x', "x.json:1: is not JSON", id="something behind it"),
        pytest.param('{"a": NaN}', "x.json:1: is not JSON", id="not a number"),
        pytest.param('{"a": "\\ud800"}', "x.json:1: is not JSON", id="half of a surrogate pair"),
        pytest.param('{"a":' * 300 + "1" + "}" * 300, "deeper than 250 levels", id="deep"),
        pytest.param('{"a":' * 100_000, "x.json:1: is nested deeper", id="very deep"),
        pytest.param('[{"kind": "Pod"}]', "is not a Kubernetes object", id="a list"),
        pytest.param('{}\n{"a": 1, "a": 2}', "x.json:2: the key", id="the second of two"),
    ],
)
def test_json_is_read_as_strictly_as_yaml(tmp_path: Path, text: str, said: str) -> None:
    assert said in refusal(tmp_path, text, "x.json")


def test_a_key_in_two_objects_is_not_there_twice(tmp_path: Path) -> None:
    text = '{"apiVersion":"v1","kind":"Pod","a":[{"b":1},{"b":2}],"c":{"b":"\\"b\\":"},"b":1}'
    assert len(read_text(tmp_path, text, "x.json")) == 1


def test_a_number_in_json_stays_as_it_was_written(tmp_path: Path) -> None:
    (found,) = read_text(tmp_path, '{"apiVersion":"v1","kind":"X","a":1.0,"b":1}', "x.json")
    assert (type(found.body["a"]), type(found.body["b"])) == (float, int)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"absent\.yaml: cannot be read: No such file"):
        read(tmp_path / "absent.yaml")


def test_a_name_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(ManifestError, match="is not a file's name"):
        read("a\0b")


def test_a_directory_without_manifests_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("no manifest")
    with pytest.raises(ManifestError, match=r"holds no \.yaml, \.yml or \.json file"):
        read(tmp_path)


def test_a_directory_for_kustomize_is_to_be_rendered_first(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(CONFIGMAP)
    (tmp_path / "kustomization.yaml").write_text("resources: [a.yaml]\n")
    with pytest.raises(ManifestError, match=r"kustomization\.yaml: is for kustomize; render"):
        read(tmp_path)


def test_a_file_that_is_too_large_is_refused_without_being_read_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(manifests, "MAX_FILE_BYTES", 100)
    asked: list[int] = []

    def endless(size: int) -> bytes:
        asked.append(size)
        return b"#" * size

    with pytest.raises(ManifestError, match="larger than 100 bytes; check it in parts"):
        read_manifests(["-"], read_stdin=endless)
    assert asked == [101]


def test_too_many_objects_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "MAX_OBJECTS", 2)
    assert "more than 2 objects; check them in parts" in refusal(tmp_path, f"---\n{CONFIGMAP}" * 3)


def test_a_place_within_a_list_says_which_item() -> None:
    assert str(Place("a.yaml", 3, 7)) == "a.yaml:3 items[7]"


def test_a_name_with_line_ends_cannot_forge_a_line() -> None:
    assert str(ManifestError("a.yaml:1", "kind Web\n✔ granted is unknown")) == (
        "a.yaml:1: kind Web�✔ granted is unknown"
    )
