"""The thin client against a real API server: each verb, and each fault by its own class."""

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from controller.clients.kube.client import KubeClient, Object
from controller.clients.kube.config import Kubeconfig, connect
from controller.clients.kube.errors import (
    ConflictError,
    ExpiredError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
)
from controller.clients.kube.resources import Key, Resource
from native.controlplane import ControlPlane

pytestmark = pytest.mark.integration

CONFIGMAPS = Resource("", "v1", "configmaps", "ConfigMap", namespaced=True)
PODS = Resource("", "v1", "pods", "Pod", namespaced=True)


@pytest.fixture
async def client(control_plane: ControlPlane) -> AsyncIterator[KubeClient]:
    """The administrator's."""
    async with connect(Kubeconfig(control_plane.admin_kubeconfig)) as connected:
        yield connected


def a_configmap(namespace: str, name: str = "cm", **data: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": {**data},
    }


def metadata(body: Object) -> dict[str, Any]:
    return cast("dict[str, Any]", body["metadata"])


async def test_create_get_replace_and_delete(client: KubeClient, namespace: str) -> None:
    key = Key(namespace, "cm")
    created = await client.create(CONFIGMAPS, a_configmap(namespace, a="1"))
    assert await client.get(CONFIGMAPS, key) == created
    replaced = await client.replace(CONFIGMAPS, {**created, "data": {"b": "2"}})
    assert replaced["data"] == {"b": "2"}
    with pytest.raises(ConflictError, match="modified"):
        await client.replace(CONFIGMAPS, {**created, "data": {"c": "3"}})
    with pytest.raises(ConflictError, match="already exists"):
        await client.create(CONFIGMAPS, a_configmap(namespace))
    with pytest.raises(ConflictError):
        await client.delete(CONFIGMAPS, key, uid="another")
    with pytest.raises(ConflictError):
        await client.delete(CONFIGMAPS, key, resource_version=metadata(created)["resourceVersion"])
    await client.delete(
        CONFIGMAPS,
        key,
        uid=metadata(created)["uid"],
        resource_version=metadata(replaced)["resourceVersion"],
    )
    with pytest.raises(NotFoundError, match='configmaps "cm" not found'):
        await client.get(CONFIGMAPS, key)
    with pytest.raises(NotFoundError):
        await client.delete(CONFIGMAPS, key)


async def test_apply_owns_its_fields_and_takes_them_only_by_force(
    client: KubeClient, namespace: str
) -> None:
    first = await client.apply(CONFIGMAPS, a_configmap(namespace, a="1"))
    assert [entry["manager"] for entry in metadata(first)["managedFields"]] == ["governor"]
    again = await client.apply(CONFIGMAPS, a_configmap(namespace, a="1"))
    assert metadata(again)["resourceVersion"] == metadata(first)["resourceVersion"]
    theirs = a_configmap(namespace, a="2", b="theirs")
    with pytest.raises(ConflictError, match="conflict with"):
        await client.apply(CONFIGMAPS, theirs, field_manager="them", force=False)
    await client.apply(CONFIGMAPS, theirs, field_manager="them")
    ours = await client.apply(CONFIGMAPS, a_configmap(namespace))
    assert ours["data"] == {"a": "2", "b": "theirs"}


async def test_apply_with_a_uid_touches_no_other_object(client: KubeClient, namespace: str) -> None:
    body = a_configmap(namespace, a="1")
    await client.apply(CONFIGMAPS, body)
    with pytest.raises(InvalidError, match=r"uid.*immutable"):
        await client.apply(CONFIGMAPS, {**body, "metadata": {**metadata(body), "uid": "another"}})


async def test_a_dry_run_of_apply_stores_nothing(client: KubeClient, namespace: str) -> None:
    answer = await client.apply(CONFIGMAPS, a_configmap(namespace, a="1"), dry_run=True)
    assert answer["data"] == {"a": "1"}
    with pytest.raises(NotFoundError):
        await client.get(CONFIGMAPS, Key(namespace, "cm"))


async def test_apply_carries_every_character_although_it_travels_as_yaml(
    client: KubeClient, namespace: str
) -> None:
    points = [*range(0x20, 0x2100), 0xD7FF, 0xE000, 0xFEFF, 0xFFFD, 0xFFFE, 0xFFFF]
    text = "\t\n\r\x00\x1f" + "".join(map(chr, [*points, 0x10000, 0x1F600, 0x10FFFF]))
    stored = await client.apply(CONFIGMAPS, a_configmap(namespace, text=text))
    assert stored["data"] == {"text": text}


async def test_status_is_merged_and_only_into_the_version_that_was_seen(
    client: KubeClient, namespace: str
) -> None:
    container: Object = {"name": "c", "image": "registry.example.com/c:1"}
    pod: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": namespace},
        # To a node that is not there: the scheduler leaves it alone.
        "spec": {"containers": [container], "nodeName": "nowhere"},
    }
    created = await client.create(PODS, pod)
    key = Key(namespace, "p")
    patched = await client.patch_status(
        PODS, key, {"message": "m"}, resource_version=metadata(created)["resourceVersion"]
    )
    status = cast("dict[str, Any]", patched["status"])
    assert (status["message"], status["phase"]) == ("m", "Pending")
    with pytest.raises(ConflictError, match="modified"):
        await client.patch_status(
            PODS, key, {"message": "n"}, resource_version=metadata(created)["resourceVersion"]
        )


async def test_an_unknown_field_and_an_invalid_object_are_refused(
    client: KubeClient, namespace: str
) -> None:
    with pytest.raises(InvalidError, match="unknown field"):
        await client.create(CONFIGMAPS, {**a_configmap(namespace), "dataa": {}})
    with pytest.raises(InvalidError, match="Invalid value"):
        await client.create(CONFIGMAPS, a_configmap(namespace, name="Not A Name"))


async def test_a_list_comes_page_by_page(client: KubeClient, namespace: str) -> None:
    for number in range(5):
        await client.create(CONFIGMAPS, a_configmap(namespace, name=f"cm-{number}", a="1"))
    names: list[str] = []
    token, versions = "", set[str]()
    while True:
        page = await client.list_page(
            CONFIGMAPS,
            namespace=namespace,
            limit=2,
            continue_token=token,
            selectors=[("fieldSelector", "metadata.name!=kube-root-ca.crt")],
        )
        names += [metadata(item)["name"] for item in page.items]
        versions.add(page.resource_version)
        token = page.continue_token
        if not token:
            break
    assert names == [f"cm-{number}" for number in range(5)]
    assert len(versions) == 1


async def test_a_continue_token_that_is_none_is_refused(client: KubeClient, namespace: str) -> None:
    with pytest.raises((InvalidError, ExpiredError)):
        await client.list_page(CONFIGMAPS, namespace=namespace, continue_token="bm9uc2Vuc2U")


async def test_what_rbac_refuses_and_a_token_that_is_none_are_forbidden(
    control_plane: ControlPlane, namespace: str
) -> None:
    kubeconfig = control_plane.kubeconfig_for_service_account(namespace, "default")
    async with connect(Kubeconfig(kubeconfig)) as powerless:
        with pytest.raises(ForbiddenError, match="is forbidden") as refused:
            await powerless.get(CONFIGMAPS, Key(namespace, "cm"))
    assert refused.value.status == 403
    text = kubeconfig.read_text(encoding="utf-8")
    token = control_plane.service_account_token(namespace, "default")
    kubeconfig.write_text(
        "\n".join(
            line.partition("token:")[0] + "token: none" if "token:" in line else line
            for line in text.splitlines()
        ),
        encoding="utf-8",
    )
    assert token not in kubeconfig.read_text(encoding="utf-8")
    async with connect(Kubeconfig(kubeconfig)) as unknown:
        with pytest.raises(ForbiddenError) as refused:
            await unknown.get(CONFIGMAPS, Key(namespace, "cm"))
    assert refused.value.status == 401
