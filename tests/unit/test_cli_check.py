"""Bad input of `governor check` ends with status 2 and a sentence, never with a traceback."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from controller.admission.reviewer import Reviewer
from controller.apis.requests import Operation
from controller.cli.check import DEFAULT_MANDATES, CheckError, Inputs, check, judge, read_writes
from controller.policy.engine import EngineUnavailableError
from tests.builders import CHANGE
from tests.fakes.engine import ScriptedEngine

MANDATE = """
apiVersion: governor.dev/v1alpha1
kind: Mandate
metadata: {name: migrator}
spec: {subjects: [{kind: ServiceAccount, namespace: team-data, name: migrator}]}
"""
POD = "{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: team-data}}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with mandates where they are looked for and one manifest."""
    mandates = tmp_path / DEFAULT_MANDATES
    mandates.mkdir(parents=True)
    (mandates / "migrator.yaml").write_text(MANDATE)
    (tmp_path / "pod.yaml").write_text(POD)
    monkeypatch.chdir(tmp_path)
    for name in ("POLICIES", "OPA_BINARY", "OPA_URL", "ENGINE_TIMEOUT_SECONDS"):
        monkeypatch.delenv(f"GOVERNOR_{name}", raising=False)
    return tmp_path


def run(*arguments: str, stdin: str | bytes = "") -> Result:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(check)
    return CliRunner().invoke(app, arguments, input=stdin)


def refusal(*arguments: str, stdin: str | bytes = "") -> str:
    """What is said on standard error; nothing else happens."""
    result = run(*arguments, stdin=stdin)
    assert isinstance(result.exception, SystemExit), result.exception
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Traceback" not in result.stderr
    return result.stderr


AGENT = ("--as", "migrator")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(("-f", "no.yaml", *AGENT), "no.yaml: cannot be read: No such", id="no file"),
        pytest.param(("-f", "empty", *AGENT), "empty: holds no .yaml", id="an empty directory"),
        pytest.param(("-f", "nothing.yaml", *AGENT), "--file: there is no object", id="no object"),
        pytest.param(("-f", "twice.yaml", *AGENT), "twice.yaml:2: the key 'a'", id="a key twice"),
        pytest.param(
            ("-f", "pod.yaml", "--as", "x"), "--as: no mandate is named x; known", id="no agent"
        ),
        pytest.param(("-f", "pod.yaml"), "say so with --as AGENT", id="as nobody"),
        pytest.param(
            ("-f", "custom.yaml", *AGENT), "custom.yaml:1: the kind Thing of e.com/v1", id="a kind"
        ),
        pytest.param(
            ("-f", "pod.yaml", *AGENT, "--crds", "crd.yaml"), "crd.yaml:1: spec is", id="a bad CRD"
        ),
        pytest.param(
            ("-f", "pod.yaml", *AGENT, "--mandates", "pod.yaml"),
            "--mandates: holds no Mandate",
            id="no mandate in what is named",
        ),
        pytest.param(
            ("-f", "pod.yaml", *AGENT, "--mandates", "bad-mandate.yaml"),
            'bad-mandate.yaml:1: Mandate "m" is invalid: spec.subjects',
            id="an invalid mandate",
        ),
        pytest.param(
            ("-f", "pod.yaml", *AGENT, "--operation", "update"),
            "--old is missing; an update is judged by what it changes",
            id="an update of nothing",
        ),
        pytest.param(
            ("-f", "pod.yaml", *AGENT, "--operation", "delete", "--old", "pod.yaml"),
            "--old is for updates, not for a delete",
            id="a delete with an old version",
        ),
        pytest.param(
            ("-f", "pod.yaml", *AGENT, "--old", "other.yaml"),
            "pod.yaml:1: --old has no Pod a",
            id="an update of something else",
        ),
        pytest.param(
            ("-f", "pod.yaml", *AGENT, "--policies", "nowhere"),
            "cannot read the policies in nowhere/governor: No such file",
            id="no policies",
        ),
        pytest.param(("-f", "pod.yaml", *AGENT, "--operation", "patch"), "patch", id="operation"),
        pytest.param(("-f", "pod.yaml", *AGENT, "--output", "xml"), "xml", id="output"),
        pytest.param(AGENT, "--file", id="no file is named"),
    ],
)
def test_bad_input_is_named(folder: Path, arguments: tuple[str, ...], said: str) -> None:
    (folder / "empty").mkdir()
    for name, text in {
        "nothing.yaml": "# nothing\n",
        "twice.yaml": "a: 1\na: 2\n",
        "custom.yaml": "{apiVersion: e.com/v1, kind: Thing, metadata: {name: a}}",
        "other.yaml": POD.replace("name: a", "name: b"),
        "crd.yaml": "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition}",
        "bad-mandate.yaml": "{apiVersion: governor.dev/v1alpha1, kind: Mandate, "
        "metadata: {name: m}, spec: {}}",
    }.items():
        (folder / name).write_text(text)
    assert said in refusal(*arguments)


def test_without_mandates_it_says_where_they_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pod.yaml").write_text(POD)
    said = refusal("-f", "pod.yaml", *AGENT)
    assert "--mandates is missing, and here is no directory manifests/mandates" in said


def test_every_manifest_of_no_use_is_named_at_once(folder: Path) -> None:
    things = "".join(f"---\n{{apiVersion: v1, kind: T{n}}}\n" for n in range(25))
    (folder / "things.yaml").write_text(f"{POD}\n{things}")
    lines = refusal("-f", "things.yaml", *AGENT).splitlines()
    assert len(lines) == 21
    assert "the kind T0" in lines[0]
    assert "the kind T19" in lines[19]
    assert lines[20] == "and 5 more"


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        pytest.param("OPA_BINARY", "nowhere/opa", "engine: ", id="no engine"),
        pytest.param("OPA_BINARY", "pod.yaml", "engine: ", id="something else as engine"),
        pytest.param(
            "ENGINE_TIMEOUT_SECONDS", "soon", "GOVERNOR_ENGINE_TIMEOUT_SECONDS: ", id="no number"
        ),
        pytest.param(
            "ENGINE_TIMEOUT_SECONDS", "0", "GOVERNOR_ENGINE_TIMEOUT_SECONDS: ", id="no time"
        ),
    ],
)
def test_a_setting_of_no_use_is_named(
    folder: Path,
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    said: str,
) -> None:
    monkeypatch.setenv(f"GOVERNOR_{variable}", value)
    arguments = ("-f", "pod.yaml", *AGENT, "--policies", str(repository / "policies"))
    assert said in refusal(*arguments)


def test_what_comes_from_files_cannot_drive_the_terminal(folder: Path) -> None:
    (folder / "x.yaml").write_text('{apiVersion: v1, kind: "\\e[31m\\u202eX", metadata: {name: a}}')
    said = refusal("-f", "x.yaml", *AGENT)
    assert "the kind �[31m�X of v1" in said


def test_bytes_that_are_no_text_are_refused(folder: Path) -> None:
    assert "-:1: is not UTF-8" in refusal("-f", "-", *AGENT, stdin=b"a: \xff")


def no_stdin(_: int) -> bytes:
    raise AssertionError("standard input was read")


@pytest.mark.parametrize(
    ("given", "operation"),
    [
        pytest.param(Inputs(["pod.yaml"], "migrator"), Operation.CREATE, id="create by default"),
        pytest.param(
            Inputs(["pod.yaml"], "migrator", old="pod.yaml"), Operation.UPDATE, id="update with old"
        ),
        pytest.param(
            Inputs(["pod.yaml"], "migrator", operation=Operation.DELETE),
            Operation.DELETE,
            id="as told",
        ),
    ],
)
def test_the_operation_is_what_is_told_or_follows_from_old(
    folder: Path, given: Inputs, operation: Operation
) -> None:
    assert folder == Path.cwd()
    (write,), registry = read_writes(given, read_stdin=no_stdin)
    assert write.request.operation is operation
    assert write.request.user.username in registry.claims


async def test_an_engine_that_is_gone_is_no_verdict(folder: Path) -> None:
    assert folder == Path.cwd()
    writes, registry = read_writes(Inputs(["pod.yaml"], "migrator"), read_stdin=no_stdin)
    reviewer = Reviewer(
        engine=ScriptedEngine([EngineUnavailableError("it went away")]),
        clock_ns=lambda: 0,
        mint_change=lambda: CHANGE,
        timeout_seconds=1.0,
    )
    with pytest.raises(CheckError, match=r"pod\.yaml:1: was not judged: it went away"):
        await judge(writes, registry, reviewer)
