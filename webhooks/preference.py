"""Which of several webhook processes is to write which account (rendezvous hashing).

Each process works it out for itself. Where two disagree for a moment, because one heard
of a third sooner, both write, and the account's compare-and-swap decides as ever: what is
preferred here is never what makes a reservation safe.
"""

import hashlib
from collections.abc import Collection


def preferred_writer(agent: str, replicas: Collection[str]) -> str | None:
    """The one that all prefer who know of the same replicas; None where there is none.

    When a replica comes or goes, only the accounts that it wins or had change hands.
    """
    return max(replicas, key=lambda replica: (_weight(agent, replica), replica), default=None)


def _weight(agent: str, replica: str) -> bytes:
    # Neither a name nor an id holds a newline.
    return hashlib.blake2b(f"{agent}\n{replica}".encode(), digest_size=8).digest()
