"""`governor suspend` and `governor resume`: the kill switch of one agent, and its end.

Both write `spec.suspend` of the agent's Mandate with the caller's own credentials, then
wait until a running Governor confirms it: the condition `Suspended` says what the agent's
Account says, and no write is granted past that. What was granted before may still take
effect; `suspend` says how much that is. A person's write to a Mandate goes past no webhook
of ours, so this works while all of them are dead.

The field is applied under a field manager of its own, so that whoever applies the rest of
the mandate does not switch a suspended agent on again; `resume` gives the field up, and
never takes it from somebody else who set it.

Ends with status 0 (confirmed), 1 (stored and not confirmed, or kept by somebody else) or
2 (not known to be stored). It takes no credentials from the environment.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Protocol, cast

import typer

from controller.apis.conditions import Condition, ConditionStatus, ConditionType
from controller.apis.invalid import InvalidResourceError
from controller.apis.json import Json
from controller.apis.v1alpha1.conversion import conditions_of
from controller.cli.underway import NotKnown, Underway, read_underway, told
from controller.cli.verdicts import printable
from controller.clients.kube.client import Object
from controller.clients.kube.config import Kubeconfig, KubeConfigError, connect
from controller.clients.kube.errors import (
    ConflictError,
    ForbiddenError,
    KubeError,
    NotFoundError,
)
from controller.clients.kube.resources import MANDATES, Key, Resource
from controller.clients.kube.transport import Timeouts

FIELD_MANAGER = "governor-suspend"
"""Who owns `spec.suspend` of a suspended mandate, and nothing else."""

UNCONFIRMED = 1
NOT_STORED = 2
_POLL_SECONDS = 0.1
_TIMEOUTS = Timeouts(connect=5.0, silence=10.0, total=10.0)


class SwitchError(Exception):
    """Nothing is known to be stored; the message says why and what to do."""


class UnconfirmedError(Exception):
    """The agent is not known to be as was asked; the message says what is known."""


class MandateClient(Protocol):
    """The part of `KubeClient` that is used."""

    async def get(self, resource: Resource, key: Key) -> Object:
        """Read one object."""
        ...

    async def apply(
        self, resource: Resource, body: Object, *, field_manager: str, force: bool
    ) -> Object:
        """Own exactly the fields of `body`; returns the object as stored."""
        ...


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a confirmation, and by which clock."""

    seconds: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A running Governor says so."""

    condition: Condition
    generation: int
    """Of the mandate, in which the switch is as was asked."""
    rivals: tuple[str, ...]
    """Field managers that set `spec.suspend` as well, and may take a suspension back."""


_Name = Annotated[str, typer.Argument(help="The mandate's name, which is the agent's.")]
_Kubeconfig = Annotated[Path, typer.Option(help="The cluster, as a kubeconfig file; yours.")]
_Timeout = Annotated[
    float, typer.Option(min=0.0, help="Seconds to wait until a running Governor confirms it.")
]


def suspend(name: _Name, kubeconfig: _Kubeconfig, timeout: _Timeout = 30.0) -> None:
    """Refuse every write that an agent asks for from now on, until it is resumed.

    Says how many writes that were granted before may still take effect.
    Ends with 0 once that is so everywhere, 1 if it is stored but not confirmed, 2 if not stored.
    """
    _run(name, kubeconfig, timeout, to_suspend=True)


def resume(name: _Name, kubeconfig: _Kubeconfig, timeout: _Timeout = 30.0) -> None:
    """Have the writes of a suspended agent judged again.

    Ends with 0 once that is so, 1 if it is not, or not confirmed, 2 if nothing was stored.
    """
    _run(name, kubeconfig, timeout, to_suspend=False)


def _run(name: str, kubeconfig: Path, timeout: float, *, to_suspend: bool) -> None:
    command = "suspend" if to_suspend else "resume"
    try:
        confirmed, underway = asyncio.run(
            _with_own_client(name, kubeconfig, Patience(timeout), to_suspend=to_suspend)
        )
    except SwitchError as error:
        _say(f"governor {command}: {error}", is_error=True)
        raise typer.Exit(NOT_STORED) from None
    except UnconfirmedError as error:
        _say(f"governor {command}: {error}", is_error=True)
        raise typer.Exit(UNCONFIRMED) from None
    for rival in confirmed.rivals if to_suspend else ():
        _say(f"governor {command}: {_warning_of(rival)}", is_error=True)
    _say(_told(name, confirmed))
    if underway is not None:
        _say(told(underway))


async def _with_own_client(
    name: str, kubeconfig: Path, patience: Patience, *, to_suspend: bool
) -> tuple[Confirmed, Underway | NotKnown | None]:
    try:
        async with connect(Kubeconfig(kubeconfig), timeouts=_TIMEOUTS) as client:
            confirmed = await switch(client, name, to_suspend=to_suspend, patience=patience)
            # Not before the fence is known to be there: until then more may be granted.
            return confirmed, await read_underway(client, name) if to_suspend else None
    except KubeConfigError as error:
        raise SwitchError(f"--kubeconfig: {error}") from error


async def switch(
    client: MandateClient, name: str, *, to_suspend: bool, patience: Patience
) -> Confirmed:
    """Store the switch, then wait until a running Governor confirms it.

    Raises:
        SwitchError: nothing is known to be stored.
        UnconfirmedError: it is stored and not confirmed in time, or was undone meanwhile;
            or somebody else keeps the agent suspended.
    """
    stored, rivals = await _store(client, name, to_suspend=to_suspend)
    if _is_suspended(stored) is not to_suspend:
        raise UnconfirmedError(_kept_by(name, rivals))
    return await _wait(client, stored, rivals, to_suspend=to_suspend, patience=patience)


async def _store(
    client: MandateClient, name: str, *, to_suspend: bool
) -> tuple[Object, tuple[str, ...]]:
    """The Mandate with the switch as asked, and who else sets it."""
    if not name or name in {".", ".."}:
        raise SwitchError(f"{name!r} is no mandate's name; see `kubectl get mandates`")
    try:
        found = await client.get(MANDATES, Key("", name))
        stored = await client.apply(
            MANDATES,
            _applied(name, _text(found, "uid"), to_suspend=to_suspend),
            field_manager=FIELD_MANAGER,
            # An emergency does not ask who else set it. Resuming applies no field at all.
            force=to_suspend,
        )
    except NotFoundError as missing:
        raise SwitchError(
            f"there is no mandate {name}; see `kubectl get mandates` ({missing})"
        ) from missing
    except ConflictError as replaced:
        raise SwitchError(f"the mandate was replaced meanwhile; try again ({replaced})") from (
            replaced
        )
    except ForbiddenError as forbidden:
        raise SwitchError(
            "these credentials may not do it; they need get and patch of mandates.governor.dev "
            f"({forbidden})"
        ) from forbidden
    except KubeError as fault:
        # A request without an answer may have been carried out.
        whether = "may not have done it" if fault.status == 0 else "did not do it"
        raise SwitchError(f"the API server {whether}, try again: {fault}") from fault
    # As it was before as well: what we take by force is no longer theirs, but they will be back.
    rivals = dict.fromkeys((*_rivals(found), *_rivals(stored)))
    return stored, tuple(rivals)


def _applied(name: str, uid: str, *, to_suspend: bool) -> Object:
    spec: Object = {"spec": {"suspend": True}} if to_suspend else {}
    return {
        "apiVersion": MANDATES.api_version,
        "kind": MANDATES.kind,
        # The uid is a precondition: applying must not create one, nor meet one made since.
        "metadata": {"name": name, "uid": uid},
        **spec,
    }


async def _wait(
    client: MandateClient,
    stored: Object,
    rivals: tuple[str, ...],
    *,
    to_suspend: bool,
    patience: Patience,
) -> Confirmed:
    name, generation = _text(stored, "name"), _generation(stored)
    wanted = ConditionStatus.TRUE if to_suspend else ConditionStatus.FALSE
    deadline = patience.clock() + patience.seconds
    newest, fault = stored, ""
    while True:
        condition = _suspended_condition(newest)
        if (
            condition is not None
            and condition.status is wanted
            and (condition.observed_generation or 0) >= generation
        ):
            return Confirmed(condition, generation, rivals)
        if patience.clock() >= deadline:
            raise UnconfirmedError(_known(generation, condition, fault, patience.seconds))
        await patience.sleep(_POLL_SECONDS)
        try:
            newest = await client.get(MANDATES, Key("", name))
            fault = ""
        except NotFoundError as gone:
            raise UnconfirmedError(f"the mandate {name} was deleted meanwhile") from gone
        except KubeError as unheard:
            fault = str(unheard)
        if _text(newest, "uid") != _text(stored, "uid"):
            raise UnconfirmedError(f"the mandate {name} was replaced by another one meanwhile")
        if _is_suspended(newest) is not to_suspend:
            what = "suspended" if _is_suspended(newest) else "resumed"
            raise UnconfirmedError(
                f"somebody {what} {name} again meanwhile (generation {_generation(newest)})"
            )


def _known(generation: int, condition: Condition | None, fault: str, seconds: float) -> str:
    if condition is None:
        seen = "the mandate has no condition Suspended"
    else:
        seen = (
            f"Suspended is {condition.status} ({condition.reason}: {condition.message}) "
            f"of generation {condition.observed_generation}"
        )
    last = f"; the API server was not heard: {fault}" if fault else ""
    return (
        f"stored as generation {generation}; no Governor process has confirmed it "
        f"within {seconds:g} s: {seen}{last}. Is `governor reconcile` running?"
    )


def _kept_by(name: str, rivals: tuple[str, ...]) -> str:
    who = ", ".join(rivals) or "a field manager that the API server does not name"
    return (
        f"{name} stays suspended: spec.suspend is set by {who}. Remove it there, or here by "
        f"""`kubectl patch mandate {name} --type=merge -p '{{"spec":{{"suspend":null}}}}'`"""
    )


def _warning_of(rival: str) -> str:
    return (
        f"spec.suspend is or was set by {rival} too, which may take this back: "
        "remove the field there"
    )


def _told(name: str, confirmed: Confirmed) -> str:
    since = confirmed.condition.to_json()["lastTransitionTime"]
    if confirmed.condition.status is ConditionStatus.TRUE:
        state = f"{name} is suspended since {since}: what it asks for from now on is refused"
    else:
        state = f"{name} is not suspended since {since}: its writes are judged"
    return f"{state} (generation {confirmed.generation})"


def _rivals(mandate: Object) -> tuple[str, ...]:
    """Who else sets `spec.suspend`, by the names of their field managers."""
    entries = _metadata(mandate).get("managedFields")
    found = [
        f"{entry.get('manager')} ({entry.get('operation')})"
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict)
        and entry.get("manager") != FIELD_MANAGER
        and not entry.get("subresource")
        and _sets_suspend(entry)
    ]
    return tuple(dict.fromkeys(found))


def _sets_suspend(entry: Mapping[str, Json]) -> bool:
    fields = entry.get("fieldsV1")
    spec = fields.get("f:spec") if isinstance(fields, dict) else None
    return isinstance(spec, dict) and "f:suspend" in spec


def _suspended_condition(mandate: Object) -> Condition | None:
    try:
        conditions = conditions_of(cast("Mapping[str, object]", mandate))
    except InvalidResourceError:
        return None
    for condition in conditions:
        if condition.type == ConditionType.SUSPENDED.value:
            return condition
    return None


def _is_suspended(mandate: Object) -> bool:
    spec = mandate.get("spec")
    return isinstance(spec, dict) and spec.get("suspend") is True


def _metadata(mandate: Object) -> Object:
    metadata = mandate.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _text(mandate: Object, field: str) -> str:
    return str(_metadata(mandate).get(field) or "")


def _generation(mandate: Object) -> int:
    generation = _metadata(mandate).get("generation")
    return generation if isinstance(generation, int) else 0


def _say(text: str, *, is_error: bool = False) -> None:
    typer.echo(printable(text), err=is_error)
