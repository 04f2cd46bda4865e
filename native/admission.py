"""How the local API server shows webhooks that it is the API server: a bearer token.

Renders the two files that its flags name. A webhook that is reached over the network
cannot know otherwise who asks: TLS names the server, never the client.

Every webhook of the cluster gets the token (the user named `*`): right for a control
plane whose only webhook is the one under test. A real cluster names its webhook's host
and port instead, or the service as `NAME.NAMESPACE.svc`.
"""

from collections.abc import Mapping
from pathlib import Path

import yaml

_PLUGINS = ("MutatingAdmissionWebhook", "ValidatingAdmissionWebhook")


def admission_configuration(webhook_kubeconfig: Path) -> bytes:
    """The AdmissionConfiguration that makes both kinds of webhooks be shown a credential."""
    settings = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "WebhookAdmissionConfiguration",
        "kubeConfigFile": str(webhook_kubeconfig),
    }
    return _yaml(
        {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "AdmissionConfiguration",
            "plugins": [{"name": name, "configuration": settings} for name in _PLUGINS],
        }
    )


def webhook_kubeconfig(token: Path) -> bytes:
    """The kubeconfig that names the credential: a file, which the API server reads again.

    Args:
        token: the file that holds one token.
    """
    user = {"name": "*", "user": {"tokenFile": str(token)}}
    return _yaml({"apiVersion": "v1", "kind": "Config", "users": [user]})


def _yaml(document: Mapping[str, object]) -> bytes:
    return yaml.safe_dump(document, sort_keys=False).encode()
