"""`governor check` gives the webhook's verdicts: both judge the same reviews, with real OPA."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias, cast

import pytest
import typer
from starlette.types import Message
from typer.testing import CliRunner, Result

from controller.admission.reviewer import Reviewer
from controller.agents.registry import Registry
from controller.apis.json import Json
from controller.apis.requests import AdmissionRequest, Operation, Target
from controller.apis.v1alpha1.conversion import governance_from_object, mandate_from_object
from controller.cli.check import BAD_INPUT, check
from controller.cli.verdicts import UNRECORDED
from controller.clients.engine.bundle import read_policy_set
from controller.clients.engine.supervisor import ChildEngine, EngineSettings
from tests.builders import (
    CHANGE,
    CONFIGMAPS,
    SECRETS,
    a_person,
    a_request,
    a_review,
    a_review_request,
    a_user,
    an_object,
)
from tests.fakes.admission import an_app_that_judges
from tests.fakes.registries import ScriptedRegistries
from webhooks.app import WebhookApp

Responses: TypeAlias = Mapping[str, dict[str, Any]]
"""What one judge said, by the name of the case."""


def a_mandate(name: str, *, subject: str | None = None, **spec: Json) -> dict[str, Json]:
    rules: list[Json] = [
        {
            "apiGroups": ["apps"],
            "resources": ["deployments"],
            "verbs": ["create", "update", "patch", "delete"],
            "namespaces": ["team-data"],
        },
        {
            "apiGroups": [""],
            "resources": ["configmaps"],
            "verbs": ["update", "patch"],
            "namespaces": ["team-data"],
            "resourceNames": ["settings-*"],
            "fields": ["data"],
        },
    ]
    who: dict[str, Json] = {"kind": "ServiceAccount", "namespace": "team-data"}
    return {
        "apiVersion": "governor.dev/v1alpha1",
        "kind": "Mandate",
        "metadata": {"name": name},
        "spec": {"subjects": [{**who, "name": subject or name}], "rules": rules, **spec},
    }


PINNED: list[Json] = [
    {"kind": "ServiceAccount", "namespace": "team-data", "name": "pinned", "uid": "another"}
]
MANDATES = [
    a_mandate("migrator"),
    a_mandate("asleep", suspend=True),
    a_mandate("warned", enforcement="Warn"),
    a_mandate("shadowed", enforcement="Shadow"),
    a_mandate("pinned", subjects=PINNED),
    a_mandate("one", subject="torn"),
    a_mandate("two", subject="torn"),
]
GOVERNANCE: dict[str, Json] = {
    "apiVersion": "governor.dev/v1alpha1",
    "kind": "Governance",
    "metadata": {"name": "cluster"},
    "spec": {"dedicatedNamespaces": ["robots"], "protectedNamespaces": ["payments"]},
}


def by(
    name: str, request: AdmissionRequest | None = None, *, namespace: str = "team-data"
) -> bytes:
    """The request as written by another ServiceAccount."""
    asked = a_review_request(request or a_request(target=SECRETS))
    user = a_user(f"system:serviceaccount:{namespace}:{name}")
    groups: list[Json] = [*user.groups]
    asked["userInfo"] = {"username": user.username, "uid": user.uid, "groups": groups}
    return a_review(asked)


def of(request: AdmissionRequest) -> bytes:
    return a_review(a_review_request(request))


def an_update(new: dict[str, Json], *, name: str = "settings-web", **metadata: Json) -> bytes:
    """Of a ConfigMap that held `{"mode": "dark"}`."""
    stored: dict[str, Json] = {**an_object(CONFIGMAPS, name=name), "data": {"mode": "dark"}}
    changed: dict[str, Json] = {
        **stored,
        **new,
        "metadata": {**cast("dict[str, Json]", stored["metadata"]), **metadata},
    }
    return of(a_request(Operation.UPDATE, target=CONFIGMAPS, name=name, obj=changed, old=stored))


MANDATE_KIND = Target("governor.dev", "v1alpha1", "Mandate", "mandates")
SCALE = Target("apps", "v1", "Scale", "deployments", "scale")
EXEC = Target("", "v1", "PodExecOptions", "pods", "exec")
TOKEN: dict[str, Json] = {**an_object(SECRETS), "type": "kubernetes.io/service-account-token"}

CASES: dict[str, tuple[bytes, str, str]] = {
    "a granted create": (of(a_request()), "granted", ""),
    "a granted update": (of(a_request(Operation.UPDATE)), "granted", ""),
    "a granted field": (an_update({"data": {"mode": "light"}}), "granted", ""),
    "a granted delete": (of(a_request(Operation.DELETE)), "granted", ""),
    "a dry run": (of(a_request(dry_run=True)), "granted", ""),
    "a kind": (of(a_request(target=SECRETS)), "denied", "kind-not-granted"),
    "a namespace": (of(a_request(namespace="other")), "denied", "namespace-not-granted"),
    "a name": (
        of(a_request(Operation.UPDATE, target=CONFIGMAPS, name="x")),
        "denied",
        "name-not-granted",
    ),
    "a verb": (
        of(a_request(Operation.DELETE, target=CONFIGMAPS, name="settings-a")),
        "denied",
        "verb-not-granted",
    ),
    "a field": (an_update({}, labels={"team": "x"}), "denied", "field-not-granted"),
    "a hostile name": (
        of(a_request(namespace="x\x1b[31m\u202e'\"\n{}")),
        "denied",
        "namespace-not-granted",
    ),
    "a deletecollection": (
        of(a_request(Operation.DELETE, is_collection=True, name="")),
        "denied",
        "verb-not-granted",
    ),
    "a subresource": (
        of(a_request(Operation.UPDATE, target=SCALE)),
        "denied",
        "kind-not-granted",
    ),
    "a connect": (of(a_request(Operation.CONNECT, target=EXEC)), "denied", "kind-not-granted"),
    "a protected kind": (
        of(a_request(target=MANDATE_KIND, namespace="")),
        "denied",
        "protected-kind",
    ),
    "a credential": (of(a_request(target=SECRETS, obj=TOKEN)), "denied", "protected-kind"),
    "a system namespace": (
        of(a_request(namespace="kube-system")),
        "denied",
        "protected-namespace",
    ),
    "a protected namespace": (of(a_request(namespace="payments")), "denied", "protected-namespace"),
    "a suspended agent": (by("asleep"), "denied", "suspended"),
    "a warned agent": (by("warned"), "warned", "kind-not-granted"),
    "a shadowed agent": (by("shadowed"), "shadowed", "kind-not-granted"),
    "an impostor": (by("pinned"), "denied", "identity-mismatch"),
    "a subject of two mandates": (by("torn"), "denied", "subject-conflict"),
    "an unregistered agent": (
        by("stranger", namespace="robots"),
        "denied",
        "unregistered-agent",
    ),
    "a person": (of(a_request(user=a_person())), "not governed", ""),
}
"""Name → review, verdict, codes."""


@pytest.fixture(scope="module")
def by_webhook(opa_binary: Path, repository: Path) -> Responses:
    """What the webhook's application answers to each case."""
    return asyncio.run(_ask_webhook(opa_binary, repository / "policies"))


async def _ask_webhook(binary: Path, policies: Path) -> Responses:
    loop = asyncio.get_running_loop()
    engine = ChildEngine(EngineSettings(binary=binary), monotonic=loop.time)
    registry = Registry.build(
        [mandate_from_object(mandate) for mandate in MANDATES],
        governance=governance_from_object(GOVERNANCE),
    )
    await engine.start()
    try:
        await engine.load(read_policy_set(policies))
        reviewer = Reviewer(
            engine=engine,
            clock_ns=lambda: 1_800_000_000_000_000_000,
            mint_change=lambda: CHANGE,
            timeout_seconds=20.0,
        )
        app = an_app_that_judges(reviewer, ScriptedRegistries(registry))
        return {name: await _post(app, review) for name, (review, _, _) in CASES.items()}
    finally:
        await engine.stop()


async def _post(app: WebhookApp, body: bytes) -> dict[str, Any]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "path": "/validate", "method": "POST", "headers": headers}
    await app(scope, receive, send)
    start, content = sent
    assert start["status"] == 200, content
    return cast("dict[str, Any]", json.loads(content["body"])["response"])


@pytest.fixture(scope="module")
def by_check(
    opa_binary: Path, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Responses:
    """What `governor check` says of the same bytes."""
    folder = tmp_path_factory.mktemp("check")
    (folder / "mandates.json").write_text("\n".join(map(json.dumps, [*MANDATES, GOVERNANCE])))
    reviews = folder / "reviews"
    reviews.mkdir()
    for name, (review, _, _) in CASES.items():
        (reviews / f"{name}.json").write_bytes(review)
    result = run(
        *("-f", str(reviews), "--mandates", str(folder / "mandates.json"), "--output", "json"),
        *("--policies", str(repository / "policies")),
        opa_binary=opa_binary,
    )
    assert result.exit_code == 1, result.output
    return {Path(entry["file"]).stem: entry for entry in json.loads(result.stdout)}


def run(*arguments: str, opa_binary: Path) -> Result:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(check)
    environment = {"GOVERNOR_OPA_BINARY": str(opa_binary), "GOVERNOR_ENGINE_TIMEOUT_SECONDS": "20"}
    return CliRunner().invoke(app, arguments, env=environment, catch_exceptions=False)


@pytest.mark.requirement("same-judge.offline")
@pytest.mark.parametrize(
    ("name", "verdict", "codes"),
    [pytest.param(name, case[1], case[2], id=name) for name, case in CASES.items()],
)
def test_a_review_is_judged_offline_as_by_the_webhook(
    name: str, verdict: str, codes: str, by_webhook: Responses, by_check: Responses
) -> None:
    response, entry = by_webhook[name], by_check[name]
    annotations = response.get("auditAnnotations", {})
    assert entry["verdict"] == annotations.get("verdict", "not governed") == verdict
    assert ",".join(d["code"] for d in entry["denials"]) == annotations.get("codes", "") == codes
    assert entry["warnings"] == response.get("warnings", [])
    assert entry["policies"] == annotations.get("policies")
    assert (entry["verdict"] == "denied") is not response["allowed"]


@pytest.mark.requirement("same-judge.offline")
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case[1] == "denied"])
def test_a_denial_is_worded_offline_as_by_the_webhook_but_for_the_change(
    name: str, by_webhook: Responses, by_check: Responses
) -> None:
    webhooks = by_webhook[name]["status"]["message"]
    offline = by_check[name]["message"]
    assert webhooks.count(CHANGE) == 2
    assert offline == webhooks.replace(CHANGE, UNRECORDED)
    machine = json.loads(offline.rpartition(f" change={UNRECORDED} ")[2])
    shown = {**by_check[name]["denials"][0], "change": UNRECORDED}
    del shown["message"]
    assert machine == shown


@pytest.mark.parametrize(
    ("module", "said"),
    [
        pytest.param(
            "package governor.broken\n\ndeny contains x if {\n", "broken.rego:", id="no Rego"
        ),
        pytest.param(
            'package governor.broken\n\ndeny contains http.send({"url": "http://x"}) if true\n',
            "http.send",
            id="a builtin that is not allowed",
        ),
    ],
)
def test_a_policy_that_does_not_compile_is_no_verdict(
    module: str, said: str, tmp_path: Path, opa_binary: Path, repository: Path
) -> None:
    policy = tmp_path / "policies" / "governor" / "broken" / "broken.rego"
    policy.parent.mkdir(parents=True)
    policy.write_text(module)
    sample = repository / "manifests" / "samples" / "check"
    result = run(
        *("-f", str(sample / "workloads"), "--as", "migrator"),
        *("--mandates", str(sample / "mandates"), "--policies", str(tmp_path / "policies")),
        opa_binary=opa_binary,
    )
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("governor check: engine: ")
    assert said in result.stderr


def test_a_policy_that_fails_denies_as_it_does_in_the_webhook(
    tmp_path: Path, opa_binary: Path, repository: Path
) -> None:
    policy = tmp_path / "policies" / "governor" / "broken" / "broken.rego"
    policy.parent.mkdir(parents=True)
    policy.write_text("package governor.broken\n\ndeny contains to_number(input.request.name)\n")
    sample = repository / "manifests" / "samples" / "check"
    result = run(
        *("-f", str(sample / "workloads" / "job.yaml"), "--as", "migrator", "--output", "json"),
        *("--mandates", str(sample / "mandates"), "--policies", str(tmp_path / "policies")),
        opa_binary=opa_binary,
    )
    (entry,) = json.loads(result.stdout)
    assert result.exit_code == 1
    assert [denial["code"] for denial in entry["denials"]] == ["policy-error"]


@pytest.mark.parametrize(
    ("closing", "status", "said"),
    [
        pytest.param("<&-", 2, "-: standard input is closed; name a file", id="standard input"),
        pytest.param(">&-", 0, "", id="standard output"),
    ],
)
def test_a_closed_stream_is_no_fault(
    closing: str, status: int, said: str, opa_binary: Path, repository: Path
) -> None:
    sample = repository / "manifests" / "samples" / "check"
    job = "-" if status == BAD_INPUT else str(sample / "workloads" / "job.yaml")
    command = ("-m", "controller", "check", "-f", job, "--as", "migrator")
    mandates = ("--mandates", str(sample / "mandates"))
    ended = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {closing}', "sh", sys.executable, *command, *mandates],
        cwd=repository,
        env={**os.environ, "GOVERNOR_OPA_BINARY": str(opa_binary)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == status, ended.stderr
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
