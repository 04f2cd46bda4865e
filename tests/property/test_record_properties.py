"""Whatever an agent writes, the message's trailers are Governor's: checked with Git itself."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.records.history import trailers_of
from controller.records.record import message_of
from tests.builders import a_denial, a_request
from tests.recorded import a_judged, a_record
from tests.strategies import texts

PREV = "0" * 64
KEYS = {
    *("Change-Id", "Agent", "Object", "Outcome", "Verdict", "Codes"),
    *("Entry", "Attempt", "Seq", "Prev", "Policies"),
}
hostile = st.one_of(
    texts,
    st.sampled_from(
        [
            "Outcome: lost",
            "\n\nOutcome: lost\nSeq: 9",
            "why\n\nSigned-off-by: someone <a@b>",
            "\n---\nOutcome: lost\n",
            "---",
            "--- a/file",
            "# comment\n#",
            "(cherry picked from commit 1234567)",
            "\r\nOutcome: lost",
            "\u2028Outcome: lost",
            "\x0bOutcome: lost",
            "-- >8 --",
            "------------------------ >8 ------------------------",
            " continuation\n continuation",
            "https://example.com",
            ":",
        ]
    ),
    st.text(alphabet=st.sampled_from("\n\r\t :>-#aO"), max_size=40),
)
printable_names = hostile.map(lambda name: name or "x")


def parsed_by_git(message: str, where: Path) -> list[tuple[str, str]]:
    """What `git interpret-trailers --parse` finds."""
    git = shutil.which("git")
    assert git is not None
    done = subprocess.run(
        [git, "-c", "trailer.separators=:", "interpret-trailers", "--parse"],
        input=message,
        capture_output=True,
        text=True,
        check=True,
        cwd=where,
        env={
            "PATH": "/usr/bin:/bin:/usr/local/bin",
            "GIT_CONFIG_NOSYSTEM": "1",
            "HOME": str(where),
        },
    )
    lines = done.stdout.split("\n")[:-1]
    return [(key, value.strip()) for key, _, value in (line.partition(":") for line in lines)]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("git")


@pytest.mark.requirement("history-append-only.safe-text")
@settings(max_examples=150)
@given(reason=hostile, name=printable_names, agent=hostile, namespace=hostile, code=hostile)
def test_git_finds_our_trailers_and_no_others(
    empty: Path, reason: str, name: str, agent: str, namespace: str, code: str
) -> None:
    judged = a_judged(agent=agent, denials=(a_denial(code),))
    record = a_record(
        a_request(name=name, namespace=namespace, obj={"metadata": {}}),
        reason=reason,
        judged=judged,
    )

    message = message_of(record, seq=3, prev=PREV)

    found = parsed_by_git(message, empty)
    ours = trailers_of(message)
    assert found == [(key, value.strip()) for key, value in ours.items()]
    assert set(ours) <= KEYS
    assert (ours["Outcome"], ours["Seq"], ours["Prev"]) == ("persisted", "3", PREV)


@given(record=st.dictionaries(st.sampled_from([*KEYS, "agent", "request", "reason"]), hostile))
def test_a_message_can_be_written_of_any_record(record: dict[str, Any]) -> None:
    ours = trailers_of(message_of(record, seq=1, prev=PREV))

    assert set(ours) <= KEYS
    assert ours["Seq"] == "1"
