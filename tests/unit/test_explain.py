"""The wording of a denial: one line for people, the same as JSON, and nothing unbounded."""

import json
from typing import Any, cast

import pytest

from controller.admission.explain import (
    MAX_LISTED,
    MAX_MACHINE,
    MAX_TEXT,
    MAX_WARNING,
    word_denial,
    word_relaxed,
    word_warning,
)
from controller.admission.judge import Denied
from controller.apis.json import Json
from controller.policy.denials import Denial
from tests.builders import CHANGE, a_denial

HOSTILE = [
    pytest.param("line\nfeed\r\n", id="line feeds"),
    pytest.param('}{ {"code":"granted"}', id="braces"),
    pytest.param("\x00\x07\x1b[2J\x7f\x9b31m", id="control characters"),
    pytest.param("\u202egnp\u2066.exe\u2069\u200b", id="bidi controls and zero width"),
    pytest.param("\u2028\u2029\u0085", id="line separators"),
    pytest.param("x" * 10_000, id="ten thousand letters"),
    pytest.param("😀" * 10_000, id="ten thousand faces"),
    pytest.param('\\"' * 5_000, id="ten thousand quotes and backslashes"),
    pytest.param('fine. change=01JD {"code":"granted"}', id="a forged end"),
    pytest.param(" change=" * 1_000, id="a thousand forged ends"),
]


def denied(*denials: Denial) -> Denied:
    return Denied(CHANGE, "migrator", denials)


def machine_part(message: str) -> dict[str, Any]:
    """Parse a message as docs/denials.md tells an agent to."""
    _, _, rest = message.partition(" change=")
    change, _, document = rest.partition(" ")
    assert change == CHANGE
    return cast("dict[str, Any]", json.loads(document))


@pytest.mark.requirement("explains-itself.contract")
def test_a_denial_reads_as_one_line_and_then_as_json() -> None:
    denial = Denial(
        code="name-not-granted",
        message="no rule grants configmaps named root",
        rule="Name not granted",
        field="metadata.name",
        asked="root",
        limit=["settings-*"],
        passes="settings-root",
    )
    assert word_denial(denied(denial)) == (
        "governor: denied [name-not-granted] metadata.name: no rule grants configmaps named root; "
        "would pass: settings-root. Final: do not retry unchanged. "
        f"change={CHANGE} "
        '{"code":"name-not-granted","rule":"Name not granted","field":"metadata.name",'
        '"asked":"root","limit":["settings-*"],"remaining":null,"passes":"settings-root",'
        f'"retry":false,"change":"{CHANGE}"}}'
    )


@pytest.mark.requirement("explains-itself.contract")
def test_what_a_denial_does_not_say_is_null_in_json_and_left_out_for_people() -> None:
    message = word_denial(denied(Denial("suspended", "the mandate is suspended", "Suspended")))
    assert message.startswith(
        "governor: denied [suspended] the mandate is suspended. Final: do not retry unchanged. "
    )
    told = machine_part(message)
    assert told.keys() == {
        "code", "rule", "field", "asked", "limit", "remaining", "passes", "retry", "change",
    }  # fmt: skip
    assert [key for key, value in told.items() if value is None] == [
        "field", "asked", "limit", "remaining", "passes",
    ]  # fmt: skip


@pytest.mark.requirement("explains-itself.final-or-retry")
def test_what_may_pass_later_says_so() -> None:
    message = word_denial(denied(Denial("policy-error", "no answer", "No grant", retry=True)))
    assert "Retry later." in message
    assert machine_part(message)["retry"] is True


@pytest.mark.parametrize(
    ("value", "words"),
    [
        pytest.param(0, "limit 0", id="zero is a limit"),
        pytest.param(False, "limit false", id="so is false"),
        pytest.param("", "limit .", id="and an empty text"),
        pytest.param({"cpu": "2"}, 'limit {"cpu":"2"}', id="and an object"),
    ],
)
def test_a_value_is_shown_as_json_or_as_its_text(value: Json, words: str) -> None:
    message = word_denial(denied(Denial("code", "message", "rule", limit=value)))
    assert words in message
    assert machine_part(message)["limit"] == value


@pytest.mark.requirement("explains-itself.contract")
def test_further_reasons_are_told_in_both_parts() -> None:
    message = word_denial(denied(a_denial("one"), a_denial("two"), a_denial("three")))
    assert message.startswith("governor: denied [one] ")
    assert "also [two] field data is not granted. also [three] " in message
    told = machine_part(message)
    assert (told["code"], [other["code"] for other in told["also"]]) == ("one", ["two", "three"])


def test_of_very_many_reasons_the_first_are_told_and_the_rest_counted() -> None:
    message = word_denial(denied(*(a_denial(f"code-{number}") for number in range(70))))
    assert "[code-7]" in message
    assert "[code-8]" not in message
    assert " 62 more. change=" in message
    assert len(machine_part(message)["also"]) == MAX_LISTED - 1


@pytest.mark.requirement("explains-itself.safe-text")
@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_breaks_the_form_of_a_denial(text: str) -> None:
    hostile = Denial(
        "c" * 63, text, text, field=text, asked=text, limit=[text], passes={text: text}
    )
    message = word_denial(denied(hostile, hostile))
    people, _, machine = message.partition(" change=")
    assert message.isprintable()
    assert len(people) <= MAX_TEXT
    assert len(machine) <= len(f"{CHANGE} ") + MAX_MACHINE
    assert machine.isascii()
    assert "Final: do not retry unchanged." in people
    assert "; would pass: " in people
    told = machine_part(message)
    assert (told["code"], told["change"]) == ("c" * 63, CHANGE)
    assert told["field"].removesuffix("…") == text[: len(told["field"].removesuffix("…"))]


@pytest.mark.requirement("explains-itself.safe-text")
@pytest.mark.parametrize("text", HOSTILE)
def test_a_warning_is_one_short_line(text: str) -> None:
    for warning in (word_warning(text), word_relaxed(Denial("code", text, "rule"))):
        assert warning.isprintable()
        assert warning.startswith("governor: ")
        assert len(warning) <= MAX_WARNING


@pytest.mark.requirement("explains-itself.relaxed")
def test_a_relaxed_denial_names_its_code() -> None:
    assert word_relaxed(a_denial("field-not-granted")) == (
        "governor: would be denied [field-not-granted] field data is not granted"
    )


def test_a_value_that_fits_is_told_whole() -> None:
    values: Json = ["x" * 400]
    assert (
        machine_part(word_denial(denied(Denial("c", "m", "r", passes=values))))["passes"] == values
    )
