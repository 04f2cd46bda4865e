"""Reading a directory of Rego: what becomes a unit, and what is refused by name."""

from pathlib import Path

import pytest

from controller.clients.engine.bundle import read_policy_set
from controller.clients.engine.policyset import MAX_MODULE_BYTES, PolicySourceError


def write(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(f"# {path}\n")
    return root


def paths_of(root: Path) -> dict[str, list[str]]:
    return {
        unit.name: [module.path for module in unit.modules] for unit in read_policy_set(root).units
    }


def test_every_directory_is_a_unit_and_the_library_is_given_to_all(tmp_path: Path) -> None:
    write(
        tmp_path,
        "governor/b/rules.rego",
        "governor/a/one.rego",
        "governor/a/deeper/two.rego",
        "governor/lib/x.rego",
        "governor/lib/more/y.rego",
    )
    library = ["governor/lib/more/y.rego", "governor/lib/x.rego"]
    assert paths_of(tmp_path) == {
        "governor.a": ["governor/a/deeper/two.rego", "governor/a/one.rego", *library],
        "governor.b": ["governor/b/rules.rego", *library],
    }


def test_tests_and_other_files_are_not_loaded(tmp_path: Path) -> None:
    write(
        tmp_path,
        "governor/a/a.rego",
        "governor/a/a_test.rego",
        "governor/a/README.md",
        "governor/lib/x_test.rego",
        "notes_test.rego",
    )
    assert paths_of(tmp_path) == {"governor.a": ["governor/a/a.rego"]}


@pytest.mark.requirement("fail-closed.policy-answer")
@pytest.mark.parametrize("stray", ["governor/stray.rego", "stray.rego", "elsewhere/stray.rego"])
def test_a_policy_where_nobody_would_ask_it_is_refused(tmp_path: Path, stray: str) -> None:
    write(tmp_path, "governor/a/a.rego", stray)
    with pytest.raises(PolicySourceError, match=r"stray\.rego is in no policy's directory"):
        read_policy_set(tmp_path)


def test_a_module_must_be_in_the_package_of_its_directory(tmp_path: Path) -> None:
    write(tmp_path, "governor/a/deeper/a.rego", "governor/lib/x.rego")
    (unit,) = read_policy_set(tmp_path).units
    assert [module.package for module in unit.modules] == ["data.governor.a", "data.governor.lib"]


def test_a_unit_is_asked_for_all_that_it_may_answer(tmp_path: Path) -> None:
    write(tmp_path, "governor/a/a.rego")
    (unit,) = read_policy_set(tmp_path).units
    assert unit.query == (
        "deny := {x | some x in data.governor.a.deny}; "
        "warn := {x | some x in data.governor.a.warn}; "
        "cap := {x | some x in data.governor.a.cap}"
    )
    assert unit.strict_builtin_errors


def test_the_shipped_policies_are_read(repository: Path) -> None:
    assert "governor.permissions" in read_policy_set(repository / "policies").names


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        PolicySourceError, match=r"cannot read .*governor: No such file .* holds governor/"
    ):
        read_policy_set(tmp_path)


def test_a_file_in_place_of_the_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "governor").write_text("")
    with pytest.raises(PolicySourceError, match="Not a directory"):
        read_policy_set(tmp_path)


def test_a_directory_without_policies_is_named(tmp_path: Path) -> None:
    write(tmp_path, "governor/lib/x.rego")
    with pytest.raises(PolicySourceError, match="holds no policy"):
        read_policy_set(tmp_path)


def test_a_unit_without_rules_is_named(tmp_path: Path) -> None:
    write(tmp_path, "governor/a/a_test.rego", "governor/b/b.rego")
    with pytest.raises(PolicySourceError, match=r"governor/a holds no \.rego file beside tests"):
        read_policy_set(tmp_path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    write(tmp_path, "governor/a/a.rego")
    (tmp_path / "governor/a/gone.rego").symlink_to("nowhere.rego")
    with pytest.raises(PolicySourceError, match=r"cannot read the policy .*gone\.rego"):
        read_policy_set(tmp_path)


def test_a_file_that_links_to_itself_is_named(tmp_path: Path) -> None:
    write(tmp_path, "governor/a/a.rego")
    (tmp_path / "governor/a/loop.rego").symlink_to("loop.rego")
    with pytest.raises(PolicySourceError, match=r"cannot read the policy .*loop\.rego"):
        read_policy_set(tmp_path)


def test_a_linked_folder_is_named_and_not_passed_over(tmp_path: Path) -> None:
    write(tmp_path, "governor/a/a.rego", "more/b.rego")
    (tmp_path / "governor/a/linked").symlink_to(tmp_path / "more")
    with pytest.raises(PolicySourceError, match="a/linked is a link to a folder"):
        read_policy_set(tmp_path)


def test_a_mounted_configmap_is_read_once(tmp_path: Path) -> None:
    mounted = tmp_path / "governor/a"
    write(mounted, "..2026_11_24/a.rego")
    (mounted / "..data").symlink_to("..2026_11_24")
    (mounted / "a.rego").symlink_to("..data/a.rego")
    assert paths_of(tmp_path) == {"governor.a": ["governor/a/a.rego"]}


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    write(tmp_path, "governor/a/a.rego")
    (tmp_path / "governor/a/a.rego").write_bytes(b"package \xff")
    with pytest.raises(PolicySourceError, match=r"a\.rego is not UTF-8: .* at byte 8"):
        read_policy_set(tmp_path)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    write(tmp_path, "governor/a/a.rego")
    with (tmp_path / "governor/a/a.rego").open("r+b") as file:
        file.truncate(MAX_MODULE_BYTES + 1)
    with pytest.raises(PolicySourceError, match=r"a\.rego has 262145 bytes; at most 262144"):
        read_policy_set(tmp_path)


@pytest.mark.parametrize("name", ["my-policy", "1st", "a b", "if"])
def test_a_directory_that_no_package_can_be_named_after_is_refused(
    tmp_path: Path, name: str
) -> None:
    write(tmp_path, f"governor/{name}/a.rego")
    with pytest.raises(PolicySourceError, match="is no name for a package"):
        read_policy_set(tmp_path)
