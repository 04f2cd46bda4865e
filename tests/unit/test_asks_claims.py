"""No agent says in a template whose the Pods made of it are."""

import pytest

from controller.apis.requests import AdmissionRequest, Target
from controller.asks.asked import asked_by
from controller.asks.ownership import AGENT
from tests.asking import (
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    JOBS,
    REPLICA_SETS,
    STATEFUL_SETS,
    Object,
    a_workload,
    around,
    creating,
    updating,
)

pytestmark = pytest.mark.requirement("identity-carried.owner-label")

PLAIN = (DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS, DAEMON_SETS, JOBS)


def claiming(obj: Object, *path: str, agent: str = "other") -> Object:
    """The same object with the label in a template within its spec."""
    where = obj
    for key in path:
        inner = where.setdefault(key, {})
        assert isinstance(inner, dict)
        where = inner
    metadata: Object = {"labels": {AGENT: agent}}
    where["metadata"] = metadata
    return obj


def field_of(request: AdmissionRequest) -> str:
    problem = asked_by(request, around()).problem
    return "" if problem is None else problem.field


@pytest.mark.parametrize("target", PLAIN, ids=lambda target: target.resource)
@pytest.mark.parametrize("agent", ["other", "migrator"])
def test_a_template_may_not_name_an_agent_not_even_the_own(target: Target, agent: str) -> None:
    made = claiming(a_workload(target, owner="migrator"), "spec", "template", agent=agent)
    assert field_of(creating(made, target)) == f'spec.template.metadata.labels["{AGENT}"]'


@pytest.mark.parametrize(
    "path", [("spec", "jobTemplate"), ("spec", "jobTemplate", "spec", "template")], ids=".".join
)
def test_neither_the_jobs_nor_the_pods_of_a_cron_job_may(path: tuple[str, ...]) -> None:
    made = claiming(a_workload(CRON_JOBS, owner="migrator"), *path)
    assert field_of(creating(made, CRON_JOBS)).startswith(".".join(path) + ".metadata")


def test_what_a_person_put_there_may_stay_but_not_be_changed() -> None:
    def stored(agent: str) -> Object:
        return claiming(a_workload(DEPLOYMENTS, owner="migrator"), "spec", "template", agent=agent)

    assert field_of(updating(stored("other"), stored("other"), DEPLOYMENTS)) == ""
    assert field_of(updating(stored("other"), stored("migrator"), DEPLOYMENTS)) != ""


def test_a_template_without_the_label_is_no_claim() -> None:
    assert field_of(creating(a_workload(DEPLOYMENTS, owner="migrator"), DEPLOYMENTS)) == ""
