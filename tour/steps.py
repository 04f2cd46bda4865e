"""What happens on the tour: who asks what, what must come back, what must then be true.

Data only. Every expectation is checked against the API server; a step whose
expectation fails makes the tour fail.
"""

from dataclasses import dataclass
from enum import StrEnum


class Actor(StrEnum):
    """Who runs a step's command; each has a kubeconfig of its own."""

    AGENT = "agent"
    ADMINISTRATOR = "administrator"


class Program(StrEnum):
    """What a step runs."""

    KUBECTL = "kubectl"
    GOVERNOR = "governor"
    GIT = "git"


NOTHING = "(nothing)"
"""What an empty reading is shown as."""


@dataclass(frozen=True, slots=True)
class Step:
    """One command and what must come of it."""

    title: str
    command: tuple[str, ...]
    """Arguments; `{manifests}` stands for the folder of manifests, `{ledger}` for the ledger's
    repository, `{administrator}` for their kubeconfig, and `{change}` for the id on the stamp
    that `settings-web` carries."""
    actor: Actor = Actor.AGENT
    program: Program = Program.KUBECTL
    denied: str | None = None
    """The code of the denial; None: the command must succeed."""
    proof: tuple[str, ...] = ()
    """What an administrator then reads, with a client of their own."""
    shows: str = ""
    """What that reading must contain; `NOTHING`: it must be empty."""
    says: str = ""
    """What the command's own output must contain; `NOTHING`: it must be empty."""
    settles: bool = False
    """The command is repeated until it comes out as expected, or twenty seconds have passed:
    for what is true a moment after the write."""


def _deployment_names(namespace: str) -> tuple[str, ...]:
    return ("get", "deployments", "-n", namespace, "-o", "name")


def _account(path: str) -> tuple[str, ...]:
    return ("get", "account", "migrator", "-o", f"jsonpath={{.status.{path}}}")


def _replicas(name: str) -> tuple[str, ...]:
    return ("get", "deployment", name, "-n", "team-data", "-o", "jsonpath={.spec.replicas}")


def _colour(colour: str) -> tuple[str, ...]:
    change = f'{{"data":{{"colour":"{colour}"}}}}'
    return ("patch", "configmap", "settings-web", "-n", "team-data", "-p", change)


_SETTINGS = ("get", "configmap", "settings-web", "-n", "team-data", "-o", "jsonpath={.data}")
_MORE_CHANGES = '[{"op":"replace","path":"/spec/budgets/1/limit","value":"100"}]'

STEPS: tuple[Step, ...] = (
    Step(
        "The agent asks for a kind outside its mandate",
        ("create", "secret", "generic", "keys", "-n", "team-data", "--from-literal=a=b"),
        denied="kind-not-granted",
        proof=("get", "secrets", "-n", "team-data", "-o", "name"),
        shows=NOTHING,
    ),
    Step(
        "It creates a Deployment, which costs money; but nobody has said how much",
        ("create", "-f", "{manifests}/deployment.yaml"),
        settles=True,
        denied="price-unknown",
        proof=_deployment_names("team-data"),
        shows=NOTHING,
    ),
    Step(
        "An administrator, or whoever knows, says what things cost",
        ("create", "-f", "{manifests}/pricebook.yaml"),
        actor=Actor.ADMINISTRATOR,
        proof=("get", "pricebooks"),
        shows="cluster",
    ),
    Step(
        "It creates the Deployment, and says why; Governor stamps it, the reason goes",
        ("create", "-f", "{manifests}/deployment.yaml"),
        settles=True,
        proof=(
            "get",
            "deployment",
            "web",
            "-n",
            "team-data",
            "-o",
            "jsonpath={.metadata.annotations}",
        ),
        shows='"governor.dev/change":"01',
    ),
    Step(
        "The Deployment is labelled with its agent; its Pods, made by a controller, are not",
        ("get", "pods,deployments", "-n", "team-data", "-L", "governor.dev/agent"),
        actor=Actor.ADMINISTRATOR,
        says="pod/web-",
        settles=True,
        proof=("get", "deployment", "web", "-n", "team-data", "--show-labels"),
        shows="governor.dev/agent=migrator",
    ),
    Step(
        "but they are the agent's, too: what all of it holds is counted, once, from live objects",
        _account("settled"),
        actor=Actor.ADMINISTRATOR,
        says='"pods":2',
        settles=True,
    ),
    Step(
        "It tries the same in a namespace outside its mandate",
        ("create", "deployment", "web", "--image=registry.k8s.io/pause:3.10", "-n", "prod"),
        denied="namespace-not-granted",
        proof=_deployment_names("prod"),
        shows=NOTHING,
    ),
    Step(
        "It changes an object whose name is outside its mandate",
        ("patch", "configmap", "billing", "-n", "team-data", "-p", '{"data":{"currency":"USD"}}'),
        denied="name-not-granted",
        proof=("get", "configmap", "billing", "-n", "team-data", "-o", "jsonpath={.data}"),
        shows="EUR",
    ),
    Step(
        "It changes a field outside its mandate",
        ("label", "configmap", "settings-web", "-n", "team-data", "owner=migrator"),
        denied="field-not-granted",
        proof=("get", "configmap", "settings-web", "-n", "team-data", "--show-labels"),
        shows="<none>",
    ),
    Step(
        "It changes the field that it may change",
        _colour("blue"),
        proof=_SETTINGS,
        shows="blue",
    ),
    Step(
        "It asks first, with a dry run, for something it may do: the true verdict, and no trace",
        ("scale", "deployment", "web", "-n", "team-data", "--replicas=4", "--dry-run=server"),
        proof=_replicas("web"),
        shows="2",
    ),
    Step(
        "and with a dry run for something it may not",
        ("delete", "configmap", "settings-web", "-n", "team-data", "--dry-run=server"),
        denied="verb-not-granted",
        proof=_SETTINGS,
        shows="blue",
    ),
    Step(
        "It asks for more Pods than its quota of 4 allows",
        ("scale", "deployment", "web", "-n", "team-data", "--replicas=9"),
        denied="quota-exceeded",
        proof=_replicas("web"),
        shows="2",
    ),
    Step(
        "It asks for what costs more in a day than its budget of 1 USD",
        ("create", "-f", "{manifests}/large.yaml"),
        denied="budget-exceeded",
        proof=_deployment_names("team-data"),
        shows="deployment.apps/web",
    ),
    Step(
        "It widens its own mandate",
        ("patch", "mandate", "migrator", "--type=merge", "-p", '{"spec":{"enforcement":"Shadow"}}'),
        denied="protected-kind",
        proof=("get", "mandate", "migrator", "-o", "jsonpath={.spec.enforcement}"),
        shows="Enforce",
    ),
    Step(
        "An administrator suspends the agent; from here on no process lets it write",
        ("suspend", "migrator", "--kubeconfig", "{administrator}"),
        actor=Actor.ADMINISTRATOR,
        program=Program.GOVERNOR,
        proof=("get", "mandates"),
        shows="migrator",
    ),
    Step(
        "The suspended agent may write nothing, not even what its rules grant",
        ("scale", "deployment", "web", "-n", "team-data", "--replicas=3"),
        denied="suspended",
        proof=_replicas("web"),
        shows="2",
    ),
    Step(
        "A person's write in the same namespace does not depend on Governor at all",
        ("create", "configmap", "notes", "-n", "team-data", "--from-literal=a=b"),
        actor=Actor.ADMINISTRATOR,
        proof=("get", "configmaps", "-n", "team-data", "-o", "name"),
        shows="configmap/notes",
    ),
    Step(
        "The administrator resumes the agent",
        ("resume", "migrator", "--kubeconfig", "{administrator}"),
        actor=Actor.ADMINISTRATOR,
        program=Program.GOVERNOR,
        proof=("get", "mandates"),
        shows="migrator",
    ),
    Step(
        "and the same write passes",
        ("scale", "deployment", "web", "-n", "team-data", "--replicas=3"),
        settles=True,
        proof=_replicas("web"),
        shows="3",
    ),
    Step(
        "It deletes what it made",
        ("delete", "deployment", "web", "-n", "team-data", "--wait=false"),
        proof=_deployment_names("team-data"),
        shows=NOTHING,
    ),
    Step(
        "and when the last of its Pods is gone, it holds nothing",
        _account("settled"),
        actor=Actor.ADMINISTRATOR,
        says=NOTHING,
        settles=True,
        proof=("get", "pods", "-n", "team-data", "-o", "name"),
        shows=NOTHING,
    ),
    Step(
        "It has made 4 changes by now: create, patch, scale, delete. Its budget has no fifth",
        _colour("red"),
        denied="budget-exceeded",
        proof=_SETTINGS,
        shows="blue",
    ),
    Step(
        "The administrator gives it more",
        ("patch", "mandate", "migrator", "--type=json", "-p", _MORE_CHANGES),
        actor=Actor.ADMINISTRATOR,
        proof=("get", "mandate", "migrator", "-o", "jsonpath={.spec.budgets}"),
        shows='"limit":"100"',
    ),
    Step(
        "and the same write passes",
        _colour("red"),
        settles=True,
        proof=_SETTINGS,
        shows="red",
    ),
    Step(
        "All of it is in Git, with what became of it; reading it takes no program of Governor's",
        ("--git-dir", "{ledger}", "log", "--reverse", "--format=%h %s"),
        actor=Actor.ADMINISTRATOR,
        program=Program.GIT,
        says="migrator delete Deployment team-data/web: gone",
        settles=True,
    ),
    Step(
        "The stamp on an object leads to its change, and to how it is undone",
        ("show", "{change}", "--ledger", "{ledger}"),
        actor=Actor.ADMINISTRATOR,
        program=Program.GOVERNOR,
        says="persisted",
    ),
    Step(
        "Nothing is missing in the ledger, nothing was changed, and its end is the one that the "
        "API server remembers",
        ("verify", "--ledger", "{ledger}", "--kubeconfig", "{administrator}"),
        actor=Actor.ADMINISTRATOR,
        program=Program.GOVERNOR,
        says="verified",
    ),
)
