"""Renders Governor's own priority level and flow schema, and says what is wrong with stored ones.

Every governed write waits, within the API server, for a write of Governor's own (the
swap of an Account). In a priority level that both share, the writes that wait hold the
seats which the swap needs: measured, they stall until the webhook's deadline and fail.
So Governor's requests have a level of their own, whose seats are lent to nobody: a lent
seat comes back only when the request that sits on it has ended, and that one waits for us.

What is rendered and what is accepted differ on purpose: an administrator may give the
level more seats, but not take away what the writes depend on.

Pure: it neither reads nor writes the API.
"""

from collections.abc import Collection, Iterator, Mapping

from controller.apis.json import Json

PRIORITY_NAME = "governor"
"""The name of the PriorityLevelConfiguration and of the FlowSchema."""
NAMESPACE = "governor-system"
"""Where Governor's own namespaced objects are."""
GOVERNOR = f"system:serviceaccount:{NAMESPACE}:governor"
"""Who Governor is in a cluster that it is installed into."""

_PRECEDENCE = 2
"""Before anybody's: 1 is the API server's own, and of equals the first by name counts."""
_API_VERSION = "flowcontrol.apiserver.k8s.io/v1"
_LABELS: Mapping[str, Json] = {"app.kubernetes.io/managed-by": "governor"}
_SERVICE_ACCOUNT = "system:serviceaccount:"
_ALL = "*"


def render_namespace() -> dict[str, Json]:
    """The Namespace of Governor's own objects."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": _metadata(NAMESPACE)}


def render_priority_level() -> dict[str, Json]:
    """The whole PriorityLevelConfiguration, every defaulted field written out."""
    return {
        "apiVersion": _API_VERSION,
        "kind": "PriorityLevelConfiguration",
        "metadata": _metadata(PRIORITY_NAME),
        "spec": {
            "type": "Limited",
            "limited": {
                "nominalConcurrencyShares": 20,
                "lendablePercent": 0,
                "limitResponse": {
                    "type": "Queue",
                    "queuing": {"queues": 8, "handSize": 2, "queueLengthLimit": 200},
                },
            },
        },
    }


def render_flow_schema(usernames: Collection[str]) -> dict[str, Json]:
    """The whole FlowSchema: all requests of these users, and of nobody else.

    Args:
        usernames: Governor's identities, as the API server knows them. Each is named as
            the kind of subject it is: a ServiceAccount's username matches no `User`.
    """
    subjects: list[Json] = [_subject(username) for username in sorted({*usernames, GOVERNOR})]
    return {
        "apiVersion": _API_VERSION,
        "kind": "FlowSchema",
        "metadata": _metadata(PRIORITY_NAME),
        "spec": {
            "priorityLevelConfiguration": {"name": PRIORITY_NAME},
            "matchingPrecedence": _PRECEDENCE,
            "distinguisherMethod": {"type": "ByUser"},
            "rules": [
                {
                    "subjects": subjects,
                    "resourceRules": [
                        {
                            "verbs": [_ALL],
                            "apiGroups": [_ALL],
                            "resources": [_ALL],
                            "clusterScope": True,
                            "namespaces": [_ALL],
                        }
                    ],
                    "nonResourceRules": [{"verbs": [_ALL], "nonResourceURLs": [_ALL]}],
                }
            ],
        },
    }


def problems_of_priority_level(stored: Mapping[str, Json] | None) -> tuple[str, ...]:
    """Why the stored PriorityLevelConfiguration does not serve; empty if it does.

    Args:
        stored: the object as the API server holds it; None if there is none.
    """
    if stored is None:
        return (f"there is no PriorityLevelConfiguration {PRIORITY_NAME}: {_REPAIR}",)
    return tuple(f"{PRIORITY_NAME} {problem}" for problem in _level_problems(stored))


def problems_of_flow_schema(stored: Mapping[str, Json] | None, *, username: str) -> tuple[str, ...]:
    """Why the stored FlowSchema does not bring our requests into our level; empty if it does.

    That it is acted upon is taken from its condition `Dangling`, which the API server
    writes only while API Priority and Fairness is on. One that was switched off later
    leaves the condition behind: that is not noticed here.

    Args:
        stored: the object as the API server holds it; None if there is none.
        username: as whom our requests come.
    """
    if stored is None:
        return (f"there is no FlowSchema {PRIORITY_NAME}: {_REPAIR}",)
    return tuple(f"{PRIORITY_NAME} {problem}" for problem in _schema_problems(stored, username))


_REPAIR = "run `governor reconcile`, which writes it"


def _level_problems(stored: Mapping[str, Json]) -> Iterator[str]:
    spec = _part(stored, "spec")
    if spec.get("type") != "Limited":
        yield f"is of type {spec.get('type')}: set spec.type to Limited"
        return
    limited = _part(spec, "limited")
    # Absent means the API server's default of 30.
    if not _number(limited.get("nominalConcurrencyShares", 30)):
        yield "has no seats: set spec.limited.nominalConcurrencyShares to 20"
    if _number(limited.get("lendablePercent", 0)):
        yield "lends its seats: set spec.limited.lendablePercent to 0"
    if _part(limited, "limitResponse").get("type") != "Queue":
        yield "rejects what it cannot seat: set spec.limited.limitResponse.type to Queue"


def _schema_problems(stored: Mapping[str, Json], username: str) -> Iterator[str]:
    spec = _part(stored, "spec")
    level = _part(spec, "priorityLevelConfiguration").get("name")
    if level != PRIORITY_NAME:
        yield f"leads to {level}: set spec.priorityLevelConfiguration.name to {PRIORITY_NAME}"
    if _number(spec.get("matchingPrecedence")) > _PRECEDENCE:
        yield f"comes after other schemas: set spec.matchingPrecedence to {_PRECEDENCE}"
    rules = _parts(spec, "rules")
    ours = [rule for rule in rules if _subject(username) in _parts(rule, "subjects")]
    if not any(_covers_everything(rule) for rule in ours):
        yield f"does not match every request of {username}: name it in spec.rules[0].subjects"
    for rule in rules:
        for crowd in filter(_is_crowd, _parts(rule, "subjects")):
            yield f"lets others in by {_words(crowd)}: name users one by one in spec.rules"
    yield from _unheeded(stored)


def _unheeded(stored: Mapping[str, Json]) -> Iterator[str]:
    conditions = _parts(_part(stored, "status"), "conditions")
    dangling = [each.get("status") for each in conditions if each.get("type") == "Dangling"]
    if not dangling:
        yield (
            "is not acted upon yet: the API server needs API Priority and Fairness "
            "(--enable-priority-and-fairness)"
        )
    elif dangling != ["False"]:
        yield "leads to a priority level that the API server does not know yet"


def _covers_everything(rule: Mapping[str, Json]) -> bool:
    return any(
        all(_ALL in _list(each, key) for key in ("verbs", "apiGroups", "resources", "namespaces"))
        and each.get("clusterScope") is True
        for each in _parts(rule, "resourceRules")
    )


def _is_crowd(subject: Mapping[str, Json]) -> bool:
    """Whether it stands for people whom nobody can count: agents may be among them."""
    named = _part(subject, "serviceAccount") or _part(subject, "user")
    return subject.get("kind") == "Group" or named.get("name") == _ALL


def _words(subject: Mapping[str, Json]) -> str:
    kind = str(subject.get("kind"))
    name = _part(subject, kind[:1].lower() + kind[1:]).get("name")
    return f"{kind} {name}"


def _subject(username: str) -> dict[str, Json]:
    if username.startswith(_SERVICE_ACCOUNT) and username.count(":") == 3:
        namespace, name = username.removeprefix(_SERVICE_ACCOUNT).split(":")
        return {"kind": "ServiceAccount", "serviceAccount": {"namespace": namespace, "name": name}}
    return {"kind": "User", "user": {"name": username}}


def _metadata(name: str) -> dict[str, Json]:
    return {"name": name, "labels": dict(_LABELS)}


def _number(value: Json) -> int:
    return value if isinstance(value, int) else 0


def _part(body: Mapping[str, Json], name: str) -> dict[str, Json]:
    part = body.get(name)
    return part if isinstance(part, dict) else {}


def _parts(body: Mapping[str, Json], name: str) -> list[dict[str, Json]]:
    return [part for part in _list(body, name) if isinstance(part, dict)]


def _list(body: Mapping[str, Json], name: str) -> list[Json]:
    part = body.get(name)
    return part if isinstance(part, list) else []
