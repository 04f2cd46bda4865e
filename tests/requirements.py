"""The promises of Governor as data: what is promised, where, and what is not built yet.

A test names the requirement that it proves with `@pytest.mark.requirement(id)`;
`tests/test_requirements.py` refuses a requirement without a test and a test of an
unknown requirement, and `tests/mutants` breaks each one in the source. The tables
say what must hold; they test nothing themselves.
"""

from dataclasses import dataclass

DESIGN = "the ten promises (docs/architecture.md)"
DENIALS = "docs/denials.md"
README = "README.md"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One guarantee that a reader may rely on today."""

    id: str
    """The promise, or the promise and the part of it: `fail-closed.engine-fault`."""
    behaviour: str
    """What holds, in one sentence."""
    source: str = DESIGN
    """Where it is promised."""

    @property
    def promise(self) -> str:
        """The promise that this is a part of."""
        return self.id.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Deferred:
    """A promise, or a part of one, that nothing keeps yet."""

    id: str
    reason: str
    """What is missing for it."""

    @property
    def promise(self) -> str:
        """The promise that this is a part of."""
        return self.id.partition(".")[0]


PROMISES: tuple[str, ...] = (
    "fail-closed",
    "record-before-effect",
    "never-oversold",
    "identity-carried",
    "isolation-is-evidence",
    "same-judge",
    "history-append-only",
    "undo",
    "explains-itself",
    "dry-run-clean",
)
"""All of them; each has at least one line below."""


REQUIREMENTS: tuple[Requirement, ...] = (
    # No fault, overload, bad input or policy error lets a governed write through ...
    Requirement(
        "fail-closed.engine-fault",
        "Whatever fails in the policy engine (absent, too late, broken protocol), the write is "
        "refused or postponed, never granted, in every enforcement mode.",
    ),
    Requirement(
        "fail-closed.engine-contained",
        "A policy that loops, recurses, eats memory or takes its engine down costs the writes in "
        "flight their grant, and nothing else.",
    ),
    Requirement(
        "fail-closed.policy-answer",
        "A policy unit that errs, answers another shape than promised or does not answer at all "
        "refuses the write, in every enforcement mode, and hides no other unit's denials.",
    ),
    Requirement(
        "fail-closed.malformed-review",
        "A body that is not a well-formed AdmissionReview (size, depth, types, missing parts, "
        "transport) is refused with a sentence that names the field.",
    ),
    Requirement(
        "fail-closed.ambiguous-review",
        "A review that can be read in two ways (a key twice, an envelope that contradicts its "
        "object) is refused, not judged by either reading.",
    ),
    Requirement(
        "fail-closed.internal-fault",
        "A fault that nobody foresaw in the webhook is answered with something that is no grant.",
    ),
    Requirement(
        "fail-closed.not-ready",
        "Until the mandates are known, every write is answered with 503 and `Retry-After`.",
    ),
    Requirement(
        "fail-closed.lagging-watch",
        "A caller whom the watch does not know is looked up at the API server before it passes "
        "for somebody who is not governed; where that fails, it is postponed.",
    ),
    Requirement(
        "fail-closed.registration",
        "Every write of every subject is registered for review with failure policy `Fail`; "
        "Governor's own identity is not.",
    ),
    Requirement(
        "fail-closed.unclear-identity",
        "A subject that no single valid mandate speaks for is refused: one in several mandates, "
        "in an invalid one, of another uid than the pinned one, or unregistered in a namespace "
        "that is dedicated to agents.",
    ),
    Requirement(
        "fail-closed.authenticated-identity",
        "Only what the API server authenticated says who an agent is; leaving out a group or "
        "setting labels, annotations or field managers changes nothing.",
    ),
    Requirement(
        "fail-closed.guards",
        "Suspension, protected kinds, credentials and protected namespaces refuse an agent with "
        "no policy loaded, whatever its mandate grants and in every enforcement mode.",
    ),
    Requirement(
        "fail-closed.permissions",
        "A write is granted only where one rule of the mandate covers all of it: kind, namespace, "
        "name, verb, and every field that it changes.",
    ),
    Requirement(
        "fail-closed.every-change-seen",
        "Every client-set difference between the old and the new object is listed, or the list "
        "says that it is cut.",
    ),
    # ... and none of them touches a write that is not governed.
    Requirement(
        "fail-closed.ungoverned-untouched",
        "A write by anyone who is not an agent is granted without being judged: no policy is "
        "asked, nothing is added to it.",
    ),
    # Same input and same digests, same decision, in webhook and command line, by the same code.
    Requirement(
        "same-judge.one-input",
        "The same request, mandate and time give the same input document, of the published shape, "
        "and the same outcome; the only clock that policies see is the one given to the judge.",
    ),
    Requirement(
        "same-judge.digest",
        "Every decision of policies carries the digest of the policy set that took it.",
    ),
    Requirement(
        "same-judge.offline",
        "`governor check` gives the verdict, codes and message that the webhook gives for the "
        "same write, without a cluster.",
        README,
    ),
    # Each denial carries a code, the rule, the field, asked, limit, remaining, what would pass.
    Requirement(
        "explains-itself.contract",
        "A denial carries its code, rule, field, asked, limit, remaining, passing value, whether "
        "to retry and the change's id, as one line for people and the same as JSON.",
        DENIALS,
    ),
    Requirement(
        "explains-itself.final-or-retry",
        "What is final comes as 403, never 429; what is worth repeating comes as 503 with "
        "`Retry-After`.",
        DENIALS,
    ),
    Requirement(
        "explains-itself.passing-value",
        "The value that a denial says would pass is granted when asked for.",
        DENIALS,
    ),
    Requirement(
        "explains-itself.remaining",
        "What exceeds a quota, a budget or a policy's cap is told which, what it asks, what is "
        "left, what would pass, and where waiting helps until when.",
        DENIALS,
    ),
    Requirement(
        "explains-itself.relaxed",
        "`Warn` grants with the same denial as a warning, `Shadow` grants and only annotates; "
        "both name the codes.",
        DENIALS,
    ),
    Requirement(
        "explains-itself.safe-text",
        "Text that a caller or a policy chose is bounded and free of control characters wherever "
        "Governor shows it.",
        DENIALS,
    ),
    Requirement(
        "explains-itself.documented",
        "Every code that Governor can give is documented.",
        DENIALS,
    ),
    # A write is never persisted without a durable record made first.
    Requirement(
        "record-before-effect.reserved-first",
        "No write of an agent is allowed before the compare-and-swap of its Account has taken it "
        "in, and what is answered rests on an Account that was current while its caller waited.",
    ),
    Requirement(
        "record-before-effect.outbox-durable",
        "What the outbox has confirmed is there after a power cut and after the death of its "
        "process, and is never confirmed into a file that was removed or replaced.",
    ),
    Requirement(
        "record-before-effect.outbox-complete",
        "Every number that an outbox gave is stored or acknowledged, repeats of a denial are "
        "counted exactly, and no file of a living process is taken over or swept.",
    ),
    Requirement(
        "record-before-effect.committed-once",
        "Each entry and each attempt becomes exactly one record, whenever a leader dies, and is "
        "let go only once its record is safe.",
    ),
    Requirement(
        "record-before-effect.gaps-known",
        "What the settler has not seen it knows that it has not seen: a gap proves nothing.",
    ),
    Requirement(
        "record-before-effect.evidence",
        "A record says `persisted` or `lost` only where the watch, within the view that is being "
        "settled, proves it.",
    ),
    Requirement(
        "record-before-effect.as-it-is",
        "Every kind of write that reaches Governor (subresources, deletes, CONNECT, no-ops, "
        "retries, generated names) is recorded as what it is, and so is every denial.",
    ),
    Requirement(
        "record-before-effect.stamped",
        "A stored change carries an authentic, fresh stamp of Governor's; a write that changes "
        "nothing stays one.",
    ),
    Requirement(
        "record-before-effect.secrets-unseen",
        "A Secret's values, and what Governance lists, reach no policy, record, log or Account.",
    ),
    Requirement(
        "record-before-effect.refused-once",
        "A write that its Account does not take in, or has taken in already, leaves no second "
        "record of an attempt.",
    ),
    # The sum granted never exceeds a quota or budget, whatever the races, crashes and retries.
    Requirement(
        "never-oversold.protocol",
        "The Account's rules hold through races, relists, restarts, resends and people's writes: "
        "what agents hold is always covered by what the Account counts, and never beyond the "
        "limit.",
    ),
    Requirement(
        "never-oversold.fence-copied",
        "Suspension and the mandate's generation are in the Account's fence before they are said "
        "to hold, and a write that was judged by an older mandate is not reserved.",
    ),
    Requirement(
        "never-oversold.clock-after-watch",
        "The clock decides an entry only once the watch has caught up with a quorum read that was "
        "made after the API server's own timeout.",
    ),
    Requirement(
        "never-oversold.unserved-proven",
        "A kind leaves the Account only when discovery and a 404 prove that it is served no more.",
    ),
    Requirement(
        "never-oversold.limits",
        "What all granted writes may come to hold stays within every quota, and no raise is "
        "granted under a limit before the Account says that it was counted, by today's prices.",
    ),
    Requirement(
        "never-oversold.asks",
        "What an object asks is what Kubernetes' own accounting charges for the Pods that come of "
        "it, and never less while they are replaced, scaled or resized.",
    ),
    Requirement(
        "never-oversold.forwarded",
        "A write that another process is to enter is entered once, whatever becomes of the answer, "
        "and only processes of this Governor may have one entered.",
    ),
    Requirement(
        "never-oversold.adoption",
        "What an agent raises becomes the agent's in that very write; where that cannot be, the "
        "raise is refused while anything limits what the agent holds.",
    ),
    Requirement(
        "never-oversold.caps",
        "What a policy caps is held by the Account beside the mandate's own limits, the smallest "
        "of all; a cap that cannot be held refuses the write.",
    ),
    Requirement(
        "never-oversold.windows",
        "In no window more is spent than its budget: each change counts once, a lost one is given "
        "back once, and the passing of time never lifts what is granted above the limit.",
    ),
    Requirement(
        "never-oversold.trees",
        "What an agent holds is never counted as less than what lives of its objects and what "
        "their controllers may still make without another write.",
    ),
    Requirement(
        "never-oversold.one-moment",
        "Holdings are counted from one moment in every counted kind, and a raise is decided by "
        "what that moment shows.",
    ),
    # Records form a hash chain; any loss, edit, gap or cut tail is found.
    Requirement(
        "history-append-only.verify",
        "`governor verify` finds every lost, changed, moved, added or repeated record, every "
        "broken seal, and a ledger whose end was cut off.",
    ),
    Requirement(
        "history-append-only.one-writer",
        "Two leaders, or a rewritten remote, never make two histories: the ref moves by "
        "compare-and-swap only.",
    ),
    Requirement(
        "history-append-only.safe-text",
        "Nothing that an agent wrote becomes a trailer or a control character in the history.",
    ),
    # Every change states its inverse, or that none exists.
    Requirement(
        "undo.inverse",
        "Every record states how its change is undone, bound to the object and the values that "
        "it left, or why it cannot be.",
    ),
    # ... and Governor's own processes do not stand in each other's way.
    Requirement(
        "fail-closed.own-priority",
        "Governor has a priority level whose seats are never lent, keeps it so, and is not ready "
        "without it.",
    ),
    Requirement(
        "fail-closed.one-leader",
        "One process settles and commits at a time; losing the Lease ends its work before another "
        "begins.",
    ),
    Requirement(
        "fail-closed.expected-caller",
        "With a token file, nobody but the API server that shows one of its tokens gets an answer "
        "to a review.",
    ),
    Requirement(
        "fail-closed.suspension",
        "An agent is called suspended only once its Account refuses every reservation; `governor "
        "suspend` says so only of that generation, needs no webhook, and says how many writes "
        "granted before may still take effect.",
    ),
    Requirement(
        "fail-closed.drained",
        "A webhook that is stopped answers every request that reached it, and those of who queued "
        "at its socket.",
    ),
    Requirement(
        "fail-closed.overload",
        "However many writes of one agent wait for its Account, a bounded number does, and each is "
        "answered.",
    ),
    Requirement(
        "fail-closed.settler-has-its-turn",
        "Beside webhooks that never rest the settler swaps often enough that an agent is not "
        "refused for writes that are long decided.",
    ),
    # What controllers make for an agent is the agent's.
    Requirement(
        "identity-carried.once-at-its-root",
        "What controllers make of an agent's objects is charged to that agent, once, at the root "
        "of its tree, and nothing in it is charged to anybody else.",
    ),
    Requirement(
        "identity-carried.owner-label",
        "What an agent creates or raises says that it is the agent's, and no agent takes that off "
        "or claims another's object.",
    ),
    # A dry run gets the true verdict and leaves no trace.
    Requirement(
        "dry-run-clean.true-verdict",
        "A dry run is judged exactly as the write itself would be.",
    ),
    Requirement(
        "dry-run-clean.no-trace",
        "A dry run leaves no stamp, no record, no outbox row and no entry, and names the version "
        "of the Account that it was judged by.",
    ),
)


DEFERRED: tuple[Deferred, ...] = (
    Deferred(
        "identity-carried.reviewed",
        "what controllers make for an agent is charged to it, and reaches no review yet",
    ),
    Deferred("isolation-is-evidence", "no sandbox is judged yet: Governance has no handlers"),
    Deferred("same-judge.replay", "records hold no whole input document yet"),
)
"""Named, so that nobody takes their absence above for an oversight."""
