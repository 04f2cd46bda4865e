"""Who a request comes from: an agent, somebody who is refused, or nobody of ours."""

import pytest

from controller.agents.identify import (
    Agent,
    CallerPod,
    Contested,
    Impostor,
    NotGoverned,
    Unreadable,
    Unregistered,
    identify,
)
from controller.apis.mandates import Subject
from controller.apis.requests import UserInfo
from tests.builders import (
    AGENT,
    AGENT_UID,
    a_mandate,
    a_person,
    a_registry,
    a_user,
    an_invalid_mandate,
)

STRAY = "system:serviceaccount:agents:stray"
ONLY_AUTHENTICATED = ("system:authenticated",)
EXTRA = "authentication.kubernetes.io/"


def test_a_subject_of_one_mandate_is_that_mandates_agent() -> None:
    mandate, user = a_mandate(), a_user()
    assert identify(user, a_registry(mandate)) == Agent(mandate, user)


@pytest.mark.requirement("fail-closed.authenticated-identity")
@pytest.mark.parametrize(
    "user",
    [
        pytest.param(a_user(groups=ONLY_AUTHENTICATED), id="impersonated without its groups"),
        pytest.param(a_user(groups=()), id="without any group"),
        pytest.param(a_user(uid="", extra={}), id="impersonated without uid and extra"),
        pytest.param(a_user(groups=("system:masters",)), id="in system:masters"),
    ],
)
def test_an_agent_is_known_by_its_username_alone(user: UserInfo) -> None:
    mandate = a_mandate()
    assert identify(user, a_registry(mandate)) == Agent(mandate, user)


@pytest.mark.requirement("fail-closed.authenticated-identity")
@pytest.mark.parametrize(
    ("user", "namespace"),
    [
        pytest.param(a_user(STRAY), "agents", id="a ServiceAccount of a dedicated namespace"),
        pytest.param(a_user(STRAY, groups=()), "agents", id="the same without its groups"),
        pytest.param(
            a_person(groups=("system:serviceaccounts:agents",)), "agents", id="by the group alone"
        ),
        pytest.param(
            a_user("system:serviceaccount:team:x", groups=("system:serviceaccounts:agents",)),
            "agents",
            id="of another namespace, in the dedicated one's group",
        ),
        pytest.param(a_user("system:serviceaccount:agents"), "agents", id="a name without account"),
        pytest.param(
            a_user("system:serviceaccount:agents:a:b"), "agents", id="a name with a part too many"
        ),
        pytest.param(a_user("system:serviceaccount:agents:"), "agents", id="an empty account"),
        pytest.param(
            a_person(groups=("system:serviceaccounts:", "system:serviceaccounts:agents")),
            "agents",
            id="behind a group of no namespace",
        ),
    ],
)
def test_an_unregistered_member_of_a_dedicated_namespace_is_refused(
    user: UserInfo, namespace: str
) -> None:
    registry = a_registry(a_mandate(), dedicated=("agents",))
    assert identify(user, registry) == Unregistered(user.username, namespace)


@pytest.mark.requirement("fail-closed.ungoverned-untouched")
@pytest.mark.parametrize(
    "user",
    [
        pytest.param(a_person(), id="a person"),
        pytest.param(a_person("system:admin", groups=("system:masters",)), id="an administrator"),
        pytest.param(a_user("system:serviceaccount:kube-system:job-controller"), id="a controller"),
        pytest.param(
            a_user("system:serviceaccount:agents-2:x"), id="a namespace with more letters"
        ),
        pytest.param(a_user("system:serviceaccount:agent:x"), id="a namespace with fewer letters"),
        pytest.param(a_user("system:serviceaccount:Agents:x"), id="another case"),
        pytest.param(a_person("agents"), id="a username that is the namespace"),
        pytest.param(a_person(groups=("agents",)), id="a group that is the namespace"),
        pytest.param(a_person(AGENT.upper()), id="the agent's name in capitals"),
        pytest.param(a_person(AGENT + " "), id="the agent's name and a space"),
        pytest.param(a_person("system:serviceaccount:team-data"), id="a part of the agent's name"),
    ],
)
def test_anyone_else_is_not_governed(user: UserInfo) -> None:
    registry = a_registry(a_mandate(), dedicated=("agents",))
    assert identify(user, registry) == NotGoverned()


@pytest.mark.requirement("fail-closed.unclear-identity")
def test_a_subject_of_two_mandates_is_contested_by_both() -> None:
    registry = a_registry(a_mandate("zeta"), a_mandate("alpha"))
    assert identify(a_user(), registry) == Contested(AGENT, ("alpha", "zeta"))


@pytest.mark.requirement("fail-closed.unclear-identity")
def test_pins_to_two_uids_in_two_mandates_do_not_settle_a_conflict() -> None:
    mine = a_mandate("mine", subjects=(Subject(AGENT, AGENT_UID),))
    other = a_mandate("other", subjects=(Subject(AGENT, "another-uid"),))
    assert isinstance(identify(a_user(), a_registry(mine, other)), Contested)


@pytest.mark.requirement("fail-closed.unclear-identity")
def test_a_subject_of_an_invalid_mandate_is_refused_not_forgotten() -> None:
    broken = an_invalid_mandate()
    assert identify(a_user(), a_registry(invalid=(broken,))) == Unreadable(AGENT, broken)


@pytest.mark.requirement("fail-closed.unclear-identity")
@pytest.mark.parametrize("uid", ["", "another-uid", AGENT_UID.upper(), AGENT_UID + " "])
def test_another_uid_than_the_pinned_one_is_an_impostor(uid: str) -> None:
    mandate = a_mandate(subjects=(Subject(AGENT, AGENT_UID),))
    assert identify(a_user(uid=uid), a_registry(mandate)) == Impostor(mandate, AGENT, uid)


@pytest.mark.parametrize(
    "subjects",
    [
        pytest.param((Subject(AGENT, AGENT_UID),), id="pinned to this uid"),
        pytest.param((Subject(AGENT, "older"), Subject(AGENT, AGENT_UID)), id="one pin of two"),
        pytest.param((Subject(AGENT, "older"), Subject(AGENT)), id="also listed without a pin"),
    ],
)
def test_an_accepted_uid_is_the_agent(subjects: tuple[Subject, ...]) -> None:
    mandate = a_mandate(subjects=subjects)
    assert identify(a_user(), a_registry(mandate)) == Agent(mandate, a_user())


@pytest.mark.requirement("fail-closed.unclear-identity")
def test_another_subjects_uid_is_no_proof() -> None:
    other = "system:serviceaccount:team-data:other"
    mandate = a_mandate(subjects=(Subject(AGENT, "mine"), Subject(other, "theirs")))
    assert isinstance(identify(a_user(uid="theirs"), a_registry(mandate)), Impostor)


@pytest.mark.parametrize(
    ("extra", "credential", "pod"),
    [
        pytest.param({}, None, None, id="a legacy token or an impersonation"),
        pytest.param({EXTRA + "credential-id": ("JTI=7",)}, "JTI=7", None, id="an unbound token"),
        pytest.param(
            {
                EXTRA + "credential-id": ("JTI=7",),
                EXTRA + "pod-name": ("web-1",),
                EXTRA + "pod-uid": ("uid-1",),
            },
            "JTI=7",
            CallerPod("web-1", "uid-1"),
            id="a token bound to a Pod",
        ),
        pytest.param({EXTRA + "pod-name": ("web-1",)}, None, None, id="a Pod without uid"),
        pytest.param(
            {EXTRA + "credential-id": (), EXTRA + "pod-name": (), EXTRA + "pod-uid": ("u",)},
            None,
            None,
            id="keys without values",
        ),
        pytest.param({"credential-id": ("JTI=7",)}, None, None, id="a key of another domain"),
    ],
)
def test_an_agent_carries_its_token_and_the_pod_it_is_bound_to(
    extra: dict[str, tuple[str, ...]], credential: str | None, pod: CallerPod | None
) -> None:
    agent = Agent(a_mandate(), a_user(extra=extra))
    assert (agent.credential, agent.pod) == (credential, pod)
