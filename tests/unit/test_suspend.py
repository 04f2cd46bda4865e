"""The kill switch on the command line: what it stores, what it takes for a confirmation."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
import typer
from typer.testing import CliRunner, Result

from controller.cli.suspend import (
    FIELD_MANAGER,
    Confirmed,
    Patience,
    SwitchError,
    UnconfirmedError,
    resume,
    suspend,
    switch,
)
from controller.clients.kube.client import Object
from controller.clients.kube.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    KubeError,
    NotFoundError,
    UnreachableError,
)
from controller.clients.kube.resources import MANDATES, Key, Resource

SINCE = "2026-11-24T12:00:00Z"
GITOPS = ("flux", "Apply")


def a_mandate(
    generation: int = 1,
    *,
    suspend: bool | None = None,
    says: tuple[str, int] | None = None,
    setters: tuple[tuple[str, str], ...] = (),
    uid: str = "u",
) -> Object:
    """A stored Mandate; `says` is the condition Suspended: its status and generation."""
    condition = {
        "type": "Suspended",
        "status": says[0] if says else "",
        "reason": "Pending",
        "message": "of the fence",
        "lastTransitionTime": SINCE,
        "observedGeneration": says[1] if says else 0,
    }
    managed: list[dict[str, Any]] = [
        {"manager": manager, "operation": how, "fieldsV1": {"f:spec": {"f:suspend": {}}}}
        for manager, how in setters
    ]
    body: dict[str, Any] = {
        "metadata": {
            "name": "migrator",
            "uid": uid,
            "generation": generation,
            "managedFields": [
                {"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:spec": {}}},
                {"manager": "loop", "subresource": "status", "fieldsV1": {"f:status": {}}},
                *managed,
            ],
        },
        "spec": {} if suspend is None else {"suspend": suspend},
        "status": {"conditions": [condition]} if says else {},
    }
    return cast("Object", body)


@dataclass
class ScriptedMandates:
    """Answers in order; the last answer to a read stays."""

    reads: list[Object | KubeError]
    stored: Object | KubeError
    applied: list[Object] = field(default_factory=list[Object])
    forced: list[bool] = field(default_factory=list[bool])

    async def get(self, resource: Resource, key: Key) -> Object:
        """The next answer."""
        assert (resource, key) == (MANDATES, Key("", "migrator"))
        return given(self.reads.pop(0) if len(self.reads) > 1 else self.reads[0])

    async def apply(
        self, resource: Resource, body: Object, *, field_manager: str, force: bool
    ) -> Object:
        """The one answer."""
        assert (resource, field_manager) == (MANDATES, FIELD_MANAGER)
        self.applied.append(body)
        self.forced.append(force)
        return given(self.stored)


def given(answer: Object | KubeError) -> Object:
    if isinstance(answer, KubeError):
        raise answer
    return answer


def patience(seconds: float = 30.0) -> Patience:
    """Time passes by sleeping only."""
    now = [100.0]

    async def sleep(duration: float) -> None:
        now[0] += duration

    return Patience(seconds, clock=lambda: now[0], sleep=sleep)


def switched(
    mandates: ScriptedMandates, *, to_suspend: bool = True, seconds: float = 30.0
) -> Confirmed:
    done = switch(mandates, "migrator", to_suspend=to_suspend, patience=patience(seconds))
    return asyncio.run(done)


def test_suspending_applies_that_one_field_to_that_very_mandate() -> None:
    mandates = ScriptedMandates(
        [a_mandate(6), a_mandate(7, suspend=True, says=("True", 7))], a_mandate(7, suspend=True)
    )
    confirmed = switched(mandates)
    assert mandates.applied == [
        {
            "apiVersion": "governor.dev/v1alpha1",
            "kind": "Mandate",
            "metadata": {"name": "migrator", "uid": "u"},
            "spec": {"suspend": True},
        }
    ]
    assert mandates.forced == [True]
    assert (confirmed.generation, confirmed.rivals) == (7, ())


def test_resuming_gives_the_field_up_and_takes_nothing_from_others() -> None:
    mandates = ScriptedMandates(
        [a_mandate(7, suspend=True), a_mandate(8, says=("False", 8))], a_mandate(8)
    )
    switched(mandates, to_suspend=False)
    (applied,) = mandates.applied
    assert "spec" not in applied
    assert mandates.forced == [False]


def late(seen: Object) -> list[Object | KubeError]:
    """The mandate is found, then seen so for ever."""
    return [a_mandate(6), seen]


UNCONFIRMED = [
    pytest.param(a_mandate(7, suspend=True), "has no condition Suspended", id="never heard of it"),
    pytest.param(
        a_mandate(7, suspend=True, says=("True", 6)),
        "Suspended is True (Pending: of the fence) of generation 6",
        id="confirmed for an earlier generation",
    ),
    pytest.param(
        a_mandate(7, suspend=True, says=("False", 7)),
        "Suspended is False (Pending: of the fence)",
        id="heard and not done",
    ),
    pytest.param(
        a_mandate(7, suspend=True, says=("Unknown", 7)), "Suspended is Unknown", id="unreadable"
    ),
    pytest.param(UnreachableError("no answer"), "was not heard: no answer", id="silence"),
]


@pytest.mark.parametrize(("seen", "says"), UNCONFIRMED)
def test_what_no_governor_confirms_is_never_called_suspended(
    seen: Object | KubeError, says: str
) -> None:
    mandates = ScriptedMandates([a_mandate(6), seen], a_mandate(7, suspend=True))
    with pytest.raises(UnconfirmedError) as refused:
        switched(mandates, seconds=2.5)
    text = str(refused.value)
    assert text.startswith("stored as generation 7; no Governor process has confirmed it")
    assert "within 2.5 s" in text
    assert says in text


def test_an_outage_while_waiting_is_waited_out() -> None:
    confirming = a_mandate(7, suspend=True, says=("True", 9))
    mandates = ScriptedMandates(
        [a_mandate(6), UnreachableError("down"), UnreachableError("down"), confirming],
        a_mandate(7, suspend=True),
    )
    assert switched(mandates).condition.observed_generation == 9


def test_with_no_time_to_wait_what_is_known_already_counts() -> None:
    confirming = a_mandate(7, suspend=True, says=("True", 7))
    assert switched(ScriptedMandates([confirming], confirming), seconds=0).generation == 7


MEANWHILE = [
    pytest.param(a_mandate(8), "somebody resumed migrator again", id="undone"),
    pytest.param(a_mandate(1, suspend=True, uid="v"), "was replaced by another one", id="replaced"),
    pytest.param(NotFoundError("gone", status=404), "was deleted meanwhile", id="deleted"),
]


@pytest.mark.parametrize(("seen", "says"), MEANWHILE)
def test_what_others_do_meanwhile_is_said_at_once(seen: Object | KubeError, says: str) -> None:
    with pytest.raises(UnconfirmedError, match=says):
        switched(ScriptedMandates([a_mandate(6), seen], a_mandate(7, suspend=True)))


def test_a_suspension_that_another_manager_holds_stays_and_is_told_with_its_name() -> None:
    held = a_mandate(7, suspend=True, setters=(("kubectl-patch", "Update"),))
    with pytest.raises(UnconfirmedError) as kept:
        switched(ScriptedMandates([held], held), to_suspend=False)
    assert "spec.suspend is set by kubectl-patch (Update)" in str(kept.value)
    assert "kubectl patch mandate migrator" in str(kept.value)


def test_whoever_set_the_field_otherwise_is_named_for_they_may_do_it_again() -> None:
    theirs = a_mandate(6, suspend=False, setters=(GITOPS, (FIELD_MANAGER, "Apply")))
    ours = a_mandate(7, suspend=True, says=("True", 7), setters=((FIELD_MANAGER, "Apply"),))
    assert switched(ScriptedMandates([theirs], ours)).rivals == ("flux (Apply)",)


REFUSED = [
    pytest.param(NotFoundError("none", status=404), "there is no mandate migrator", id="unknown"),
    pytest.param(
        ForbiddenError("no", status=403), "may not do it; they need get and patch", id="no rights"
    ),
    pytest.param(InvalidError("odd", status=422), "did not do it, try again: odd", id="refused"),
    pytest.param(UnreachableError("nobody"), "may not have done it", id="unreachable"),
    pytest.param(ConflictError("uid", status=409), "replaced meanwhile; try again", id="replaced"),
]


@pytest.mark.parametrize(("fault", "says"), REFUSED)
@pytest.mark.parametrize("at", ["read", "write"])
def test_what_cannot_be_stored_is_told_with_its_reason(
    fault: KubeError, says: str, at: str
) -> None:
    mandates = ScriptedMandates(
        [fault if at == "read" else a_mandate(6)], fault if at == "write" else a_mandate(7)
    )
    with pytest.raises(SwitchError, match=says):
        switched(mandates)


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_no_mandate_can_have_is_refused(name: str) -> None:
    mandates = ScriptedMandates([a_mandate()], a_mandate())
    with pytest.raises(SwitchError, match="no mandate's name"):
        asyncio.run(switch(mandates, name, to_suspend=True, patience=patience()))


# --- the command line --------------------------------------------------------------------------


def run(command: Callable[..., None], *arguments: str) -> Result:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(command)
    return CliRunner().invoke(app, arguments)


@pytest.mark.parametrize("command", [suspend, resume])
def test_a_kubeconfig_that_is_not_there_ends_with_two_and_a_sentence(
    command: Callable[..., None], tmp_path: Path
) -> None:
    result = run(command, "migrator", "--kubeconfig", str(tmp_path / "none"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"governor {command.__name__}: --kubeconfig: ")
    assert "give a kubeconfig file" in result.stderr


@pytest.mark.parametrize("command", [suspend, resume])
def test_no_kubeconfig_is_taken_from_the_environment(
    command: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "from-the-environment"))
    result = run(command, "migrator")
    assert result.exit_code == 2
    assert "--kubeconfig" in result.stderr
