"""One write as it is judged, recorded and reserved: secrets replaced, and what will prove it.

Pure. Digests and stamps are taken from the request as it came, everything else from
its redacted form, and the original goes no further than here.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from controller.accounts.charges import increase
from controller.accounts.entries import Action, Attempt, Entry
from controller.admission.judge import Denied, Granted
from controller.admission.review import metadata_text
from controller.agents.identify import Agent, identify
from controller.agents.registry import Registry
from controller.apis.mandates import Enforcement
from controller.apis.requests import AdmissionRequest, Operation
from controller.asks.asked import Asked, Surroundings, asked_by
from controller.asks.ownership import owner_is_kept
from controller.mutation.room import has_room
from controller.records.body import Judged, Verdict, write_body
from controller.records.content import content_digest, traced_digest
from controller.records.redaction import Redacted, redact
from controller.records.stamps import MissingStamp, Traced, trace_of
from controller.records.versions import number_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

NOTHING_AROUND = Surroundings()
NO_ATTEMPT = Attempt("", 0)
"""Of a dry run: nothing is written down."""

_BOUND_TO_VERSION = frozenset({Action.UPDATE, Action.DELETE, Action.VALUE})
_STAMPED = frozenset({Action.CREATE, Action.UPDATE})
_UNRECORDED = frozenset(
    {("", "events"), ("events.k8s.io", "events"), ("coordination.k8s.io", "leases")}
)
_GENERATED_LETTERS = 5
"""That the API server appends to a `generateName`."""


@dataclass(frozen=True, slots=True)
class RecordKeys:
    """What authenticates stamps, and keys digests and marks."""

    stamp: bytes
    content: bytes


@dataclass(frozen=True, slots=True)
class Case:
    """One write."""

    redacted: Redacted
    agent: Agent | None
    """None: whoever sent it is no agent with a valid mandate."""
    traced: Traced | MissingStamp
    digest: str
    """Of what was validated; what the stored version is compared with."""
    old_digest: str
    asked: Asked
    """What the objects ask, before and after."""
    keeps_owner: bool
    """Whether the object says whose it is, as `/mutate` saw to it wherever it set a stamp."""
    made_at: int
    """Milliseconds since the epoch."""

    @property
    def request(self) -> AdmissionRequest:
        """The write without its confidential values: all that anything else may see."""
        return self.redacted.request

    @property
    def change(self) -> str | None:
        """The id that the stamp carries; None where there is none."""
        return (self.traced.change or None) if isinstance(self.traced, Traced) else None

    @property
    def is_recorded(self) -> bool:
        """Whether it leaves a record."""
        return leaves_record(self.request)


def leaves_record(request: AdmissionRequest) -> bool:
    """Whether it is recorded: Events and Leases in an agent's own namespace are only judged."""
    if (request.target.group, request.target.resource) not in _UNRECORDED:
        return True
    return request.namespace != _own_namespace(request.user.username)


def open_case(
    request: AdmissionRequest,
    registry: Registry,
    *,
    keys: RecordKeys,
    made_at: int,
    surroundings: Surroundings = NOTHING_AROUND,
) -> Case:
    """Prepare one write for its judge.

    Args:
        request: as it came, its secrets included.
        registry: the mandates of the moment.
        keys: of stamps and digests.
        made_at: milliseconds since the epoch.
        surroundings: what its asks depend on (`controller.asks.asked.needs_of`).
    """
    redacted = redact(request, governance=registry.governance, key=keys.content)
    identity = identify(request.user, registry)
    agent = identity if isinstance(identity, Agent) else None
    traced = _traced(request, key=keys.stamp)
    name = agent.mandate.name if agent is not None else ""
    asked, key = asked_by(request, surroundings, agent=name), keys.content
    return Case(
        redacted=redacted,
        agent=agent,
        traced=traced,
        digest=traced_digest(request, traced, key=key) if isinstance(traced, Traced) else "",
        old_digest=content_digest(request.old, key=key) if request.old else "",
        asked=asked,
        keeps_owner=agent is None or _keeps_owner(request, traced, agent, asked),
        made_at=made_at,
    )


def lacks_room(case: Case) -> bool:
    """Whether the stamp that this write needs does not fit, or in a dry run would not."""
    is_missing = isinstance(case.traced, MissingStamp)
    action = None if isinstance(case.traced, MissingStamp) else case.traced.action
    would_be_stamped = case.request.dry_run and action in _STAMPED
    return (is_missing or would_be_stamped) and not has_room(case.request.obj)


def raises_by_scale(case: Case, agent: str) -> bool:
    """Whether a subresource raises an object that is not the agent's, and cannot make it so."""
    action = None if isinstance(case.traced, MissingStamp) else case.traced.action
    raises = increase(case.asked.before, case.asked.after)
    is_unmarkable = action not in _STAMPED and bool(case.request.target.subresource)
    return is_unmarkable and bool(raises) and case.asked.owner != agent


def entry_of(case: Case, change: str, *, attempt: Attempt = NO_ATTEMPT, record: str = "") -> Entry:
    """The entry that reserves a granted write.

    Args:
        case: a write that leaves a trace.
        change: its id.
        attempt: where its body is; a dry run has none.
        record: SHA-256 of the body, hex.
    """
    if isinstance(case.traced, MissingStamp):
        raise TypeError("a write whose stamp is missing is refused, not reserved")
    request = case.request
    uid, version = _subject(request)
    return Entry(
        change=change,
        attempt=attempt,
        action=case.traced.action,
        kind=case.traced.kind,
        namespace=request.namespace,
        name=request.name,
        uid=uid,
        version=version,
        made_at=case.made_at,
        digest=case.digest,
        old_change=case.traced.old_change,
        old_digest=case.old_digest,
        before=case.asked.before,
        after=case.asked.after,
        record=record,
    )


def probe_of(case: Case, change: str) -> Entry:
    """An entry by which only the fence is asked: for what is let through without a record."""
    request = case.request
    return Entry(
        change=change,
        attempt=NO_ATTEMPT,
        action=Action.UNTRACED,
        kind=case.traced.kind,
        namespace=request.namespace,
        name=request.name,
        uid="",
        version=0,
        made_at=case.made_at,
    )


def body_of(case: Case, outcome: Granted | Denied) -> bytes:
    """What is written down of one write when it is judged."""
    traced = case.traced if isinstance(case.traced, Traced) else None
    return write_body(
        case.redacted,
        Judged(
            change=outcome.change,
            received_at=_EPOCH + timedelta(milliseconds=case.made_at),
            verdict=_verdict(outcome),
            agent=outcome.mandate or "",
            mandate=case.agent.mandate if case.agent is not None else None,
            policies=outcome.digest,
            denials=outcome.denials if isinstance(outcome, Denied) else outcome.relaxed,
            warnings=outcome.warnings if isinstance(outcome, Granted) else (),
        ),
        traced=traced if isinstance(outcome, Granted) else None,
        digest=case.digest,
        old_digest=case.old_digest,
    )


def _verdict(outcome: Granted | Denied) -> Verdict:
    if isinstance(outcome, Denied):
        return Verdict.DENIED
    if not outcome.relaxed:
        return Verdict.GRANTED
    return Verdict.WARNED if outcome.enforcement is Enforcement.WARN else Verdict.SHADOWED


def fold_of(case: Case, denied: Denied) -> str:
    """What repeats of one denial have in common, as one digest: who asked what, and why not."""
    request = case.request
    parts = (
        denied.mandate,
        request.user.username,
        request.operation.value,
        request.target.group,
        request.target.path,
        request.namespace,
        _asked_name(request),
        *sorted({f"{one.code} {one.field} {one.asked}" for one in denied.denials}),
    )
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()


def _asked_name(request: AdmissionRequest) -> str:
    """As the agent asked for it: one that was generated is another in each repeat."""
    base = metadata_text(request.obj, "generateName")
    is_create = request.operation is Operation.CREATE
    is_generated = bool(base) and len(request.name) == len(base) + _GENERATED_LETTERS
    return base if is_create and is_generated and request.name.startswith(base) else request.name


def _traced(request: AdmissionRequest, *, key: bytes) -> Traced | MissingStamp:
    """As the trace is; without a version to be bound to there is none."""
    traced = trace_of(request, key=key)
    if isinstance(traced, MissingStamp) or traced.action not in _BOUND_TO_VERSION:
        return traced
    uid, version = _subject(request)
    return traced if uid and version else Traced(Action.UNTRACED, traced.kind)


def _keeps_owner(
    request: AdmissionRequest, traced: Traced | MissingStamp, agent: Agent, asked: Asked
) -> bool:
    is_stamped = isinstance(traced, Traced) and traced.action in _STAMPED
    if request.dry_run or not is_stamped:
        return True
    return owner_is_kept(request, agent=agent.mandate.name, asked=asked)


def _subject(request: AdmissionRequest) -> tuple[str, int]:
    """Uid and resource version of the object that is written to; of a create the version is 0."""
    held = request.old if request.old is not None else request.obj
    uid = metadata_text(held, "uid")
    return uid, number_of(metadata_text(request.old, "resourceVersion"))


def _own_namespace(username: str) -> str | None:
    """A ServiceAccount's namespace; None for everybody else."""
    parts = username.split(":")
    is_service_account = len(parts) == 4 and parts[:2] == ["system", "serviceaccount"]
    return parts[2] if is_service_account else None
