"""Builds what the records are made of: judgements, bodies, entries, records, inverses.

Every builder gives something valid and ordinary, the write of one agent of
`team-data`; a test names only what it is about.
"""

import hashlib
from datetime import UTC, datetime

from controller.accounts.entries import Action, Attempt, Entry, Outcome, WatchedKind
from controller.apis.governance import Governance, RedactedFields
from controller.apis.json import Json
from controller.apis.requests import AdmissionRequest, Operation, Target
from controller.policy.denials import Denial
from controller.records.body import Judged, Verdict, write_body
from controller.records.record import entry_record
from controller.records.redaction import redact
from controller.records.stamps import CHANGE, Traced, write_stamp
from tests.builders import CHANGE as CHANGE_ID
from tests.builders import DEPLOYMENTS, DIGEST, a_mandate, a_request, an_object

STAMP_KEY = b"stamp key of 32 bytes for a test"
CONTENT_KEY = b"content key, also 32 bytes long."
MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
MOMENT_MS = 1767323045678
ATTEMPT = Attempt("replica-a", 42)
OTHER_CHANGE = "01JD8Z6V5M3Q2W1X0Y9Z8A7B6D"


def a_judged(
    verdict: Verdict = Verdict.GRANTED,
    *,
    change: str = CHANGE_ID,
    agent: str = "migrator",
    denials: tuple[Denial, ...] = (),
    warnings: tuple[str, ...] = (),
) -> Judged:
    """By the agent's mandate and one policy set."""
    return Judged(
        change=change,
        received_at=MOMENT,
        verdict=verdict,
        agent=agent,
        mandate=a_mandate(),
        policies=DIGEST,
        denials=denials,
        warnings=warnings,
    )


def a_body(
    request: AdmissionRequest | None = None,
    judged: Judged | None = None,
    *,
    fields: tuple[RedactedFields, ...] = (),
    action: Action = Action.CREATE,
) -> bytes:
    """Of a create, redacted as Governance says."""
    asked = request or a_request()
    governance = Governance(redacted_fields=fields)
    redacted = redact(asked, governance=governance, key=CONTENT_KEY)
    traced = Traced(action, WatchedKind(asked.target.group, "v1", asked.target.resource))
    return write_body(redacted, judged or a_judged(), traced=traced, digest="d1", old_digest="d0")


def an_entry(
    body: bytes | None = None,
    *,
    outcome: Outcome | None = Outcome.PERSISTED,
    action: Action = Action.CREATE,
    change: str = CHANGE_ID,
) -> Entry:
    """Reserved with that body, and settled."""
    return Entry(
        change=change,
        attempt=ATTEMPT,
        action=action,
        kind=WatchedKind("apps", "v1", "deployments"),
        namespace="team-data",
        name="web",
        uid="object-uid",
        version=7,
        made_at=MOMENT_MS,
        digest="d1",
        record="" if body is None else hashlib.sha256(body).hexdigest(),
        outcome=outcome,
    )


def a_record(
    request: AdmissionRequest | None = None,
    *,
    outcome: Outcome | None = Outcome.PERSISTED,
    reason: str | None = None,
    fields: tuple[RedactedFields, ...] = (),
    judged: Judged | None = None,
) -> dict[str, Json]:
    """Of one write and what became of it."""
    body = a_body(request, judged, fields=fields)
    return entry_record(body, an_entry(body, outcome=outcome), reason=reason)


def an_update(
    before: dict[str, Json], after: dict[str, Json], *, target: Target | None = None
) -> AdmissionRequest:
    """Of one object's fields below the root, such as `spec` or `data`."""
    kind = target or DEPLOYMENTS
    ordinary = an_object(kind)
    old, new = {**ordinary, **before}, {**ordinary, **after}
    return a_request(Operation.UPDATE, target=kind, old=old, obj=new)


def stamped(obj: dict[str, Json], change: str = CHANGE_ID) -> dict[str, Json]:
    """The object with an authentic stamp."""
    return annotated(obj, **{CHANGE: write_stamp(change, key=STAMP_KEY)})


def annotated(obj: dict[str, Json], **annotations: Json) -> dict[str, Json]:
    """The object with these annotations among its own."""
    metadata = obj["metadata"]
    assert isinstance(metadata, dict)
    found = metadata.get("annotations")
    kept = found if isinstance(found, dict) else {}
    return {**obj, "metadata": {**metadata, "annotations": {**kept, **annotations}}}


def with_metadata(obj: dict[str, Json], **fields: Json) -> dict[str, Json]:
    """The object with these fields in its metadata."""
    metadata = obj["metadata"]
    assert isinstance(metadata, dict)
    return {**obj, "metadata": {**metadata, **fields}}
