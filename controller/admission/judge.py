"""Judges one write, in two pure halves around the one question to the engine.

`prepare` settles whatever needs no policy; `conclude` turns the engine's answer
(or its failure) into the outcome. Every shell calls both, so that webhook,
command line and replay are one judge. Nothing here waits, stores or logs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeAlias, assert_never

from controller.agents.identify import (
    Agent,
    Contested,
    Impostor,
    NotGoverned,
    Unreadable,
    Unregistered,
    identify,
)
from controller.agents.registry import Registry
from controller.apis.governance import Governance
from controller.apis.json import Json
from controller.apis.mandates import Enforcement, Mandate
from controller.apis.requests import AdmissionRequest
from controller.apis.resources import NOTHING, Amounts
from controller.asks.asked import NOTHING_ASKED, Asked, AskProblem
from controller.changes.fields import Changes, changed_fields
from controller.policy.denials import Code, Denial
from controller.policy.document import Facts, build_document
from controller.policy.engine import (
    EngineError,
    EngineTimeoutError,
    EngineUnavailableError,
    Evaluation,
)
from controller.policy.guards import check_guards, offer_nothing_closed, refuse_identity
from controller.policy.results import Cap, Judgement, read_results
from controller.prices.rates import Unpriced, rate_of
from controller.records.stamps import OWN

_OWN = frozenset(("metadata", name, key) for name, keys in OWN.items() for key in keys)


@dataclass(frozen=True, slots=True)
class Granted:
    """The write may take effect."""

    change: str
    mandate: str | None
    """None: the write is not governed."""
    warnings: tuple[str, ...] = ()
    relaxed: tuple[Denial, ...] = ()
    """What would have refused it, were the mandate enforced."""
    enforcement: Enforcement = Enforcement.ENFORCE
    digest: str = ""
    """Of the policy set that judged; empty where none was asked."""
    account: str = ""
    """The version of the Account that a dry run was judged by; empty for a real write."""
    caps: tuple[Cap, ...] = ()
    """What the account must hold beside the mandate's own limits."""


@dataclass(frozen=True, slots=True)
class Denied:
    """The write is refused; the first denial is the one to act on."""

    change: str
    mandate: str
    """The mandate, or where there is none the username."""
    denials: tuple[Denial, ...]
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Postponed:
    """Not judged now: the API server is to ask again in a moment. Grants nothing."""

    change: str
    reason: str


Outcome: TypeAlias = Granted | Denied | Postponed


@dataclass(frozen=True, slots=True)
class Question:
    """What the engine must answer before this write is judged, and whose write it is."""

    change: str
    agent: Agent
    request: AdmissionRequest
    governance: Governance
    """As it was when the guards let the write through."""
    document: Mapping[str, Json]

    @property
    def mandate(self) -> Mandate:
        """The mandate that the write is judged by."""
        return self.agent.mandate


@dataclass(frozen=True, slots=True)
class _Told:
    """What the judge is told of a write beside the request and the mandates."""

    change: str
    now: datetime
    asked: Asked = NOTHING_ASKED
    usage: Amounts = field(default_factory=lambda: NOTHING)


def prepare(
    request: AdmissionRequest,
    *,
    registry: Registry,
    change: str,
    now: datetime,
    asked: Asked = NOTHING_ASKED,
    usage: Amounts = NOTHING,
) -> Outcome | Question:
    """Settle a write that needs no policy, or say what to ask the engine.

    Args:
        request: the write, its secrets already replaced.
        registry: the mandates and prices of the moment.
        change: its id.
        now: when it is judged.
        asked: what it asks, of the request as it came.
        usage: what its agent is known to hold; advice for the policies.
    """
    identity = identify(request.user, registry)
    match identity:
        case NotGoverned():
            return Granted(change, mandate=None)
        case Unregistered() | Contested() | Unreadable() | Impostor():
            return Denied(change, request.user.username, (refuse_identity(identity),))
        case Agent():
            told = _Told(change, now, asked, usage)
            return _prepare_for(identity, request, registry=registry, told=told)
        case _:
            assert_never(identity)


def _prepare_for(
    agent: Agent, request: AdmissionRequest, *, registry: Registry, told: _Told
) -> Denied | Question:
    refusal = check_guards(request, agent=agent, governance=registry.governance)
    if refusal is None and told.asked.problem is not None:
        refusal = _refuse_unreadable(told.asked.problem)
    if refusal is not None:
        return Denied(told.change, agent.mandate.name, (refusal,))
    changes = _without_own(changed_fields(request.old, request.obj))
    facts = _facts(told, registry)
    document = build_document(request, agent=agent, changes=changes, now=told.now, facts=facts)
    return Question(told.change, agent, request, registry.governance, document)


def _facts(told: _Told, registry: Registry) -> Facts:
    rate = rate_of(told.asked.after, registry.prices)
    return Facts(
        before=told.asked.before,
        after=told.asked.after,
        usd_per_hour=None if isinstance(rate, Unpriced) else rate,
        usage=told.usage,
    )


def _refuse_unreadable(problem: AskProblem) -> Denial:
    """In every mode: what is not counted would be held, and sold a second time."""
    return Denial(
        Code.ASK_UNREADABLE,
        f"what the write leaves the agent to hold cannot be counted: {problem.message}",
        rule="What cannot be counted is not granted",
        field=problem.field or None,
        retry=problem.is_passing,
    )


def _without_own(changes: Changes) -> Changes:
    """The agent's changes: what Governor keeps in the metadata is set by `/mutate`, or taken off.

    A dry run, which is not mutated, is judged as if it were.
    """
    return replace(changes, fields=tuple(path for path in changes.fields if path not in _OWN))


def conclude(question: Question, answer: Evaluation | EngineError) -> Outcome:
    """The outcome of a write that the engine was asked about. Any failure refuses."""
    if isinstance(answer, EngineUnavailableError):
        return Postponed(question.change, str(answer))
    if isinstance(answer, EngineError):
        return Denied(question.change, question.mandate.name, (_engine_fault(answer),))
    judgement = _with_open_values(question, read_results(answer))
    if judgement.faults:
        denials = (*judgement.faults, *judgement.denials)
        return Denied(question.change, question.mandate.name, denials, answer.digest)
    return _by_enforcement(question, judgement, answer.digest)


def _with_open_values(question: Question, judgement: Judgement) -> Judgement:
    """Policies know nothing of the guards: what those refuse must not be said to pass."""
    denials = (
        offer_nothing_closed(
            denial,
            request=question.request,
            agent=question.agent,
            governance=question.governance,
        )
        for denial in judgement.denials
    )
    return replace(judgement, denials=tuple(denials))


def _by_enforcement(question: Question, judgement: Judgement, digest: str) -> Outcome:
    mandate = question.mandate
    if judgement.denials and mandate.enforcement is Enforcement.ENFORCE:
        return Denied(question.change, mandate.name, judgement.denials, digest)
    return Granted(
        question.change,
        mandate.name,
        warnings=judgement.warnings,
        relaxed=judgement.denials,
        enforcement=mandate.enforcement,
        digest=digest,
        caps=judgement.caps,
    )


def _engine_fault(error: EngineError) -> Denial:
    is_timeout = isinstance(error, EngineTimeoutError)
    return Denial(
        Code.POLICY_TIMEOUT if is_timeout else Code.POLICY_ERROR,
        f"the policies could not judge this write: {error}",
        rule="No judgement, no grant",
        retry=error.retryable,
    )
