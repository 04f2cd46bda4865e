"""What the subject registration says: rendered, without an API server to read it."""

import re
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.registration import subject
from controller.registration.cel import cel_list, cel_string
from controller.registration.subject import (
    LARGEST_CONFIGURATION,
    LONGEST_EXPRESSION,
    ServiceEndpoint,
    SubjectRegistration,
    Target,
    TooManyNamespacesError,
    TooManySubjectsError,
    UrlEndpoint,
    render_subject_registration,
)

CA = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
TARGET = Target(UrlEndpoint("https://127.0.0.1:8443"), CA)
OWN = "system:serviceaccount:governor-system:governor"


def webhooks(
    usernames: list[str],
    namespaces: list[str],
    *,
    own: list[str] | None = None,
    target: Target = TARGET,
) -> list[dict[str, Any]]:
    """Of the validating configuration."""
    return webhooks_of(registration(usernames, namespaces, own=own, target=target).validating)


def registration(
    usernames: list[str],
    namespaces: list[str],
    *,
    own: list[str] | None = None,
    target: Target = TARGET,
) -> SubjectRegistration:
    return render_subject_registration(
        usernames=usernames,
        dedicated_namespaces=namespaces,
        own_usernames=[OWN] if own is None else own,
        target=target,
    )


def webhooks_of(configuration: dict[str, object]) -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", configuration["webhooks"])


def expressions(webhook: dict[str, Any]) -> dict[str, str]:
    return {c["name"]: c["expression"] for c in webhook["matchConditions"]}


# --- CEL literals ------------------------------------------------------------------------------

_SIMPLE = {'\\"': '"', "\\\\": "\\"}


def read_literal(source: str) -> str:
    """Read a CEL string literal by CEL's own grammar; fail where it ends before the source does."""
    body = re.fullmatch(r'"((?:[^"\\\n\r]|\\["\\]|\\u[0-9a-f]{4}|\\U[0-9a-f]{8})*)"', source)
    assert body is not None, source
    escapes = re.compile(r'\\["\\]|\\u[0-9a-f]{4}|\\U[0-9a-f]{8}')
    return escapes.sub(lambda m: _SIMPLE.get(m[0]) or chr(int(m[0].lstrip("\\uU"), 16)), body[1])


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_no_text_breaks_out_of_its_literal_or_means_another_text(text: str) -> None:
    literal = cel_string(text)
    assert read_literal(literal) == text
    assert literal.isascii()
    assert literal.isprintable()


def test_a_surrogate_which_kubernetes_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match=r"U\+D800"):
        cel_string("a\ud800b")


def test_a_list_of_nothing_is_an_empty_list() -> None:
    assert cel_list([]) == "[]"
    assert cel_list(["a", "b"]) == '["a", "b"]'


# --- what is selected --------------------------------------------------------------------------


def test_with_nobody_to_govern_nothing_is_selected_and_the_object_stays() -> None:
    rendered = registration([], [])
    for configuration in (rendered.validating, rendered.mutating):
        assert configuration["webhooks"] == []
        assert cast("dict[str, str]", configuration["metadata"])["name"] == "governor-subject"
    assert rendered.validating["kind"] == "ValidatingWebhookConfiguration"
    assert rendered.mutating["kind"] == "MutatingWebhookConfiguration"


@pytest.mark.requirement("fail-closed.registration")
def test_the_webhook_fails_closed_and_is_asked_about_everything() -> None:
    (webhook,) = webhooks(["a"], ["team-data"])
    assert webhook["failurePolicy"] == "Fail"
    assert webhook["matchPolicy"] == "Equivalent"
    assert webhook["sideEffects"] == "NoneOnDryRun"
    assert webhook["admissionReviewVersions"] == ["v1"]
    assert webhook["rules"] == [
        {
            "apiGroups": ["*"],
            "apiVersions": ["*"],
            "resources": ["*/*"],
            "operations": ["*"],
            "scope": "*",
        }
    ]
    # No label selects: an agent could edit it.
    assert webhook["namespaceSelector"] == {}
    assert webhook["objectSelector"] == {}


@pytest.mark.requirement("fail-closed.registration")
def test_whoever_is_judged_is_stamped_first_where_there_is_something_to_stamp() -> None:
    usernames = [f"system:serviceaccount:team-{n:04d}:agent-{n:06d}" for n in range(5000)]
    rendered = registration(usernames, ["team-data"])
    judging, stamping = webhooks_of(rendered.validating), webhooks_of(rendered.mutating)
    assert len(judging) == len(stamping) > 1
    for judges, stamps in zip(judging, stamping, strict=True):
        (rule,) = judges["rules"]
        assert stamps == {
            **judges,
            "name": judges["name"].replace("validate", "mutate"),
            "clientConfig": {**judges["clientConfig"], "url": "https://127.0.0.1:8443/mutate"},
            "rules": [{**rule, "operations": ["CREATE", "UPDATE"]}],
            "reinvocationPolicy": "IfNeeded",
        }
    assert [webhook["name"] for webhook in stamping[:2]] == [
        "subject.mutate.governor.dev",
        "subject-2.mutate.governor.dev",
    ]


def test_agents_are_selected_by_namespace_or_username_and_governor_is_not() -> None:
    (webhook,) = webhooks(["b", "a", "b"], ["team-b", "team-a"])
    assert expressions(webhook) == {
        "not-governor": f'!(request.userInfo.?username.orValue("") in ["{OWN}"])',
        "agents": (
            "(request.userInfo.?groups.orValue([])"
            '.map(g, g.startsWith("system:serviceaccounts:"), g.substring(23))'
            ' + [request.userInfo.?username.orValue("")]'
            '.map(u, u.startsWith("system:serviceaccount:"), u.split(":")[2]))'
            '.exists(ns, ns in ["team-a", "team-b"])'
            ' || request.userInfo.?username.orValue("") in ["a", "b"]'
        ),
    }


def test_a_username_of_a_dedicated_namespace_is_not_listed_again() -> None:
    dweller = "system:serviceaccount:team-a:x"
    (webhook,) = webhooks([dweller, "system:serviceaccount:team-ab:x"], ["team-a"])
    assert "team-a:x" not in expressions(webhook)["agents"]
    assert "team-ab:x" in expressions(webhook)["agents"]


def test_every_optional_key_is_guarded() -> None:
    (webhook,) = webhooks(["a"], ["team-a"])
    for expression in expressions(webhook).values():
        assert re.findall(r"userInfo\.(?!\?)", expression) == []
        assert "object" not in expression
        assert "request.name" not in expression


def test_the_order_of_what_is_given_changes_nothing() -> None:
    names, namespaces = ["b", "a", "c"], ["y", "x"]
    assert webhooks(names, namespaces) == webhooks(names[::-1], namespaces[::-1])


@pytest.mark.parametrize(
    ("namespaces", "number"),
    [pytest.param(0, 9000, id="alone"), pytest.param(900, 9000, id="both")],
)
def test_many_usernames_are_split_so_that_each_stands_in_exactly_one_webhook(
    namespaces: int, number: int
) -> None:
    usernames = [f"system:serviceaccount:team-{n:04d}:agent-{n:06d}" for n in range(number)]
    split = webhooks(usernames, [f"{'n' * 50}-{n:04d}" for n in range(namespaces)])
    assert len(split) > 1
    assert len({webhook["name"] for webhook in split}) == len(split)
    assert split[0]["name"] == "subject.validate.governor.dev"
    listed: list[str] = []
    for index, webhook in enumerate(split):
        found = expressions(webhook)
        assert all(len(expression) <= LONGEST_EXPRESSION for expression in found.values())
        listed += re.findall(r'"(system:serviceaccount:team-\d+:agent-\d+)"', found["agents"])
        is_apart = found.get("not-in-dedicated-namespace", "").startswith("!((")
        assert is_apart is (index > 0 and namespaces > 0)
    assert sorted(listed) == sorted(usernames)


@given(
    st.lists(st.text('ab"\\é\U0001f600', min_size=1, max_size=12), unique=True, max_size=30),
    st.integers(0, 120),
)
def test_chunks_hold_every_username_once_and_stay_within_the_room(
    usernames: list[str], reserved: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subject, "LONGEST_EXPRESSION", 250)
        chunks = list(subject._chunks(usernames, reserved=reserved))  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - the limit cannot be reached in small
    assert [username for chunk in chunks for username in chunk] == usernames
    for index, chunk in enumerate(chunks):
        expression = f' || request.userInfo.?username.orValue("") in {cel_list(chunk)}'
        assert len(expression) + (reserved if index == 0 and chunk else 0) <= 250


def test_the_schemas_limit_of_dedicated_namespaces_always_fits() -> None:
    (webhook,) = webhooks([], [f"{'n' * 59}{number:04d}" for number in range(1024)])
    assert len(expressions(webhook)["agents"]) <= LONGEST_EXPRESSION


def test_namespaces_that_do_not_fit_are_refused_with_the_field_to_shorten() -> None:
    with pytest.raises(TooManyNamespacesError, match=r"spec\.dedicatedNamespaces"):
        webhooks([], [f"{'n' * 59}{number:04d}" for number in range(1500)])


def test_usernames_that_do_not_fit_into_the_object_are_refused_with_the_way_out() -> None:
    names = [f"system:serviceaccount:team-{n:05d}:agent-{n:06d}" for n in range(40_000)]
    with pytest.raises(TooManySubjectsError, match=rf"at most {LARGEST_CONFIGURATION}.*dedicated"):
        webhooks(names, [])


def test_a_username_longer_than_an_expression_is_refused() -> None:
    with pytest.raises(TooManySubjectsError, match="too long to register"):
        webhooks(["a", "x" * LONGEST_EXPRESSION], [])


# --- whom the API server asks ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "validate", "mutate"),
    [
        pytest.param("", "/validate", "/mutate", id="at the root"),
        pytest.param("/governor", "/governor/validate", "/governor/mutate", id="below a path"),
        pytest.param("/governor/", "/governor/validate", "/governor/mutate", id="with a slash"),
    ],
)
def test_a_service_is_named_with_every_field_that_the_api_server_would_fill_in(
    path: str, validate: str, mutate: str
) -> None:
    endpoint = ServiceEndpoint("governor-system", "governor", 8443, path)
    rendered = registration(["a"], [], target=Target(endpoint, CA, timeout_seconds=7))
    for configuration, expected in ((rendered.validating, validate), (rendered.mutating, mutate)):
        (webhook,) = webhooks_of(configuration)
        assert webhook["clientConfig"]["service"] == {
            "namespace": "governor-system",
            "name": "governor",
            "path": expected,
            "port": 8443,
        }
        assert webhook["timeoutSeconds"] == 7


@pytest.mark.parametrize("url", ["https://127.0.0.1:8443", "https://127.0.0.1:8443/"])
def test_both_paths_are_below_the_one_address(url: str) -> None:
    rendered = registration(["a"], [], target=Target(UrlEndpoint(url), CA))
    (judges,), (stamps,) = webhooks_of(rendered.validating), webhooks_of(rendered.mutating)
    assert judges["clientConfig"]["url"] == "https://127.0.0.1:8443/validate"
    assert stamps["clientConfig"]["url"] == "https://127.0.0.1:8443/mutate"


@pytest.mark.parametrize(
    ("url", "bundle", "seconds", "says"),
    [
        pytest.param("http://127.0.0.1/", CA, 5, "url: .*expected https", id="no TLS"),
        pytest.param("https://127.0.0.1/", b" \n", 5, "ca_bundle: empty", id="no CA"),
        pytest.param("https://127.0.0.1/", CA, 0, "timeout_seconds: 0", id="no time"),
        pytest.param("https://127.0.0.1/", CA, 31, "timeout_seconds: 31", id="too long"),
    ],
)
def test_a_target_that_the_api_server_would_refuse_is_refused(
    url: str, bundle: bytes, seconds: int, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        Target(UrlEndpoint(url), bundle, seconds)
