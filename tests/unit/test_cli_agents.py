"""Mandates come from files, and the agent who is checked is one of theirs, or a username."""

from collections.abc import Mapping

import pytest

from controller.agents.registry import Registry
from controller.apis.json import Json
from controller.apis.mandates import Subject
from controller.cli.agents import UnknownAgentError, mandates_of, read_registry, user_of
from controller.cli.manifests import Manifest, ManifestError, Place
from tests.builders import AGENT, a_mandate, a_registry

SUBJECT: dict[str, Json] = {"kind": "ServiceAccount", "namespace": "team-data", "name": "migrator"}


def an_object(
    kind: str = "Mandate",
    *,
    name: str = "migrator",
    spec: Mapping[str, Json] | None = None,
    api_version: str = "governor.dev/v1alpha1",
    line: int = 1,
) -> Manifest:
    body: dict[str, Json] = {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"subjects": [SUBJECT]} if spec is None else dict(spec),
    }
    return Manifest(Place("m.yaml", line), body)


def test_the_mandates_among_the_objects_make_the_registry() -> None:
    other = an_object("Deployment", api_version="apps/v1", spec={})
    namesake = an_object(api_version="example.com/v1", spec={})
    registry = read_registry([other, an_object(), namesake])
    assert [mandate.name for mandate in mandates_of(registry)] == ["migrator"]
    assert set(registry.claims) == {AGENT}


def test_the_governance_among_them_counts() -> None:
    governance = an_object(
        "Governance", name="cluster", spec={"dedicatedNamespaces": ["team-data"]}
    )
    registry = read_registry([an_object(), governance])
    assert registry.governance.dedicated_namespaces == {"team-data"}


def test_two_mandates_of_one_subject_are_both_kept_for_the_judge_to_refuse() -> None:
    registry = read_registry([an_object(), an_object(name="other")])
    assert [claim.name for claim in registry.claims[AGENT]] == ["migrator", "other"]


@pytest.mark.parametrize(
    ("manifests", "said"),
    [
        pytest.param([], "--mandates: holds no Mandate", id="none"),
        pytest.param(
            [an_object("Governance", name="cluster", spec={})], "no Mandate", id="no agent"
        ),
        pytest.param(
            [an_object(), an_object(line=9)],
            "m.yaml:9: is the same Mandate as m.yaml:1; name one",
            id="one name twice",
        ),
        pytest.param(
            [an_object("Governance", name="cluster", spec={}, line=n) for n in (1, 5)],
            "m.yaml:5: is the same Governance as m.yaml:1",
            id="two Governances",
        ),
        pytest.param(
            [an_object(spec={"subject": []})],
            'm.yaml:1: Mandate "migrator" is invalid: ',
            id="an invalid mandate",
        ),
        pytest.param(
            [an_object(api_version="governor.dev/v9")], "m.yaml:1: Mandate", id="another version"
        ),
        pytest.param(
            [an_object("Governance", name="cluster", spec={"x": 1})],
            'm.yaml:1: Governance "cluster" is invalid',
            id="an invalid Governance",
        ),
    ],
)
def test_mandates_of_no_use_are_refused(manifests: list[Manifest], said: str) -> None:
    with pytest.raises(ManifestError) as caught:
        read_registry(manifests)
    assert said in str(caught.value)


@pytest.fixture
def registry() -> Registry:
    return a_registry(
        a_mandate(),
        a_mandate("pinned", subjects=(Subject("oidc:bot", uid="u-1"),)),
        a_mandate("team", subjects=(Subject("migrator"), Subject("bot@example.com"))),
    )


def test_a_mandates_name_stands_for_its_first_subject(registry: Registry) -> None:
    user = user_of("migrator", registry)
    assert user.username == AGENT
    assert user.groups == (
        "system:serviceaccounts",
        "system:serviceaccounts:team-data",
        "system:authenticated",
    )


def test_the_uid_that_a_mandate_pins_is_given(registry: Registry) -> None:
    user = user_of("pinned", registry)
    assert (user.username, user.uid, user.groups) == ("oidc:bot", "u-1", ("system:authenticated",))
    assert user_of("oidc:bot", registry) == user


@pytest.mark.parametrize(
    "username",
    [
        pytest.param(AGENT, id="an agent's"),
        pytest.param("bot@example.com", id="a second subject's"),
        pytest.param("system:serviceaccount:kube-system:deployment-controller", id="nobody's"),
        pytest.param("alice@example.com", id="a person's"),
    ],
)
def test_a_username_stands_for_itself(registry: Registry, username: str) -> None:
    assert user_of(username, registry).username == username


def test_an_unknown_agent_is_refused_with_those_that_are_known(registry: Registry) -> None:
    with pytest.raises(UnknownAgentError) as caught:
        user_of("migratr", registry)
    assert str(caught.value).startswith(
        "no mandate is named migratr; known agents: migrator, pinned, team; or give a whole"
    )


def test_a_long_list_of_agents_is_cut() -> None:
    many = a_registry(*(a_mandate(f"agent-{n:02}", subjects=(f"u:{n}",)) for n in range(25)))
    with pytest.raises(UnknownAgentError, match=r"agent-19 and 5 more; or"):
        user_of("nobody", many)
