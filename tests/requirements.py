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
    # A dry run gets the true verdict and leaves no trace.
    Requirement(
        "dry-run-clean.true-verdict",
        "A dry run is judged exactly as the write itself would be.",
    ),
)


DEFERRED: tuple[Deferred, ...] = (
    Deferred("record-before-effect", "there are no records yet: Account, outbox and ledger"),
    Deferred("never-oversold", "there is no Account yet, so no quota and no budget to sell"),
    Deferred(
        "identity-carried",
        "what controllers make for an agent is not attributed to it yet, and reaches no review",
    ),
    Deferred("isolation-is-evidence", "no sandbox is judged yet: Governance has no handlers"),
    Deferred("history-append-only", "there is no ledger yet, and no `governor verify`"),
    Deferred("undo", "changes are not recorded yet, so none has an inverse to state"),
    Deferred("same-judge.replay", "there are no records yet to replay"),
    Deferred(
        "explains-itself.remaining",
        "`remaining` is always null while there is no quota or budget to use up",
    ),
    Deferred(
        "dry-run-clean.no-trace",
        "nothing is stored, stamped or charged yet by any write, so a dry run proves nothing",
    ),
    Deferred(
        "fail-closed.overload",
        "no review waits for the API server yet, so there is no queue to flood",
    ),
)
"""Named, so that nobody takes their absence above for an oversight."""
