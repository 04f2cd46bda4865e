"""Resources as a client sends them, for tests: valid, until a test changes them."""

from typing import Any, TypeAlias

Object: TypeAlias = dict[str, Any]  # open JSON: that is what these tests are about


def mandate(**spec: object) -> Object:
    """Give a stored mandate of one ServiceAccount, with these fields of its spec."""
    subjects = [{"kind": "ServiceAccount", "namespace": "team-data", "name": "migrator"}]
    return {
        "apiVersion": "governor.dev/v1alpha1",
        "kind": "Mandate",
        "metadata": {"name": "migrator", "uid": "7f3a", "generation": 3, "labels": {"a": "b"}},
        "spec": {"subjects": subjects, **spec},
        "status": {"observedGeneration": 2, "ofAnotherVersion": True},
    }


def rule(**changes: object) -> Object:
    """Give a rule for patching Deployments, with these fields."""
    return {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["patch"], **changes}


def governance(**spec: object) -> Object:
    """Give the stored Governance, with these fields of its spec."""
    return {
        "apiVersion": "governor.dev/v1alpha1",
        "kind": "Governance",
        "metadata": {"name": "cluster", "generation": 4},
        "spec": spec,
    }


def pricebook(**prices: object) -> Object:
    """Give the stored PriceBook, with the price of each resource."""
    listed = [{"resource": resource, "usdPerHour": price} for resource, price in prices.items()]
    return {
        "apiVersion": "governor.dev/v1alpha1",
        "kind": "PriceBook",
        "metadata": {"name": "cluster", "uid": "b00c", "generation": 4},
        "spec": {"prices": listed},
    }
