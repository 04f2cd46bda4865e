"""The samples under manifests/samples, as inputs of tests.

A bad one begins with three comments: what it is about, what Governor says of it,
and what the API server says of it. Nothing here judges a sample.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from controller.apis.governance import Governance
from controller.apis.mandates import Mandate
from controller.apis.pricebooks import PriceBook
from controller.apis.v1alpha1.conversion import (
    governance_from_object,
    mandate_from_object,
    pricebook_from_object,
)

_ROOT = Path(__file__).resolve().parent.parent / "manifests" / "samples"

GOOD_SAMPLES: Final = sorted((_ROOT / "good").glob("*.yaml"))
BAD_SAMPLES: Final = sorted((_ROOT / "bad").glob("*.yaml"))


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a bad sample states of itself."""

    about: str
    governor: str
    """A part of Governor's message."""
    kubernetes: str
    """A part of the API server's answer."""


def expectation(sample: Path) -> Expectation:
    """Read the comments of a bad sample."""
    about, governor, kubernetes = sample.read_text(encoding="utf-8").splitlines()[:3]
    return Expectation(
        about=about.removeprefix("# "),
        governor=_after(governor, "# governor: "),
        kubernetes=_after(kubernetes, "# kubernetes: "),
    )


def resource_in(sample: Path) -> dict[str, Any]:
    """Read the one resource of a sample."""
    resource: dict[str, Any] = yaml.safe_load(sample.read_text(encoding="utf-8"))
    return resource


def converted(resource: dict[str, Any]) -> Mandate | Governance | PriceBook:
    """Convert a sample's resource by its kind."""
    match resource["kind"]:
        case "Governance":
            return governance_from_object(resource)
        case "PriceBook":
            return pricebook_from_object(resource)
        case _:
            return mandate_from_object(resource)


def _after(line: str, prefix: str) -> str:
    stated = line.removeprefix(prefix)
    assert stated != line, f"a bad sample's comment must begin with {prefix!r}: {line!r}"
    assert stated, f"a bad sample must state what follows {prefix!r}: every answer contains nothing"
    return stated
