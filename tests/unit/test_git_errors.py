"""Which fault a failed git stands for, by what it said or how it ended."""

import pytest

from controller.clients.git.errors import (
    LedgerCorruptError,
    LedgerError,
    LedgerStorageError,
    fault_of,
)


@pytest.mark.parametrize(
    ("status", "words", "family"),
    [
        pytest.param(
            128, "fatal: write error: No space left on device", LedgerStorageError, id="full"
        ),
        pytest.param(
            128,
            "fatal: Unable to create '/l/x.lock': Permission denied",
            LedgerStorageError,
            id="rights",
        ),
        pytest.param(128, "error: Read-only file system", LedgerStorageError, id="read-only"),
        pytest.param(-25, "", LedgerStorageError, id="ended by SIGXFSZ"),
        pytest.param(153, "", LedgerStorageError, id="ended by SIGXFSZ in a shell"),
        pytest.param(
            128, "fatal: not a git repository: '/l'", LedgerCorruptError, id="no repository"
        ),
        pytest.param(
            128, "error: object file objects/ab/cd is corrupt", LedgerCorruptError, id="corrupt"
        ),
        pytest.param(128, "fatal: bad object HEAD", LedgerCorruptError, id="bad object"),
        pytest.param(1, "no such policy", LedgerError, id="a hook's words"),
        pytest.param(-9, "", LedgerError, id="killed"),
    ],
)
def test_a_fault_is_of_the_family_that_says_what_to_do(
    status: int, words: str, family: type[LedgerError]
) -> None:
    fault = fault_of("fast-import", status=status, words=words)
    assert type(fault) is family
    assert f"git fast-import ended with {status}: {words or 'it said nothing'}" in str(fault)


def test_what_git_says_is_one_line_of_bounded_length() -> None:
    told = str(fault_of("fsck", status=1, words="missing blob\n" * 1000))
    assert "\n" not in told
    assert len(told) < 1200
