"""Turns pip's own settings into uv's, which reads none of them.

Reads ``pip config list`` on standard input and prints shell assignments: uv's
variables, and ``INSTALLER=pip`` where another index (or none) is configured,
since a lock names the index it was made from, and uv refuses it with another.
It must run before anything is installed: standard library only.
"""

import ast
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

PUBLIC_INDEX = "https://pypi.org/simple"

_LATER_WINS = ("global", "install", ":env:")
"""The sections that `pip install` reads, in the order in which they override."""

_VARIABLES = {
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "proxy": "ALL_PROXY",
    "retries": "UV_HTTP_RETRIES",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
}
"""What has one value, and means the same to uv."""


def parse(lines: Iterable[str]) -> dict[str, str]:
    """Read ``section.name='value'`` lines into what `pip install` would go by."""
    sections: dict[str, dict[str, str]] = {section: {} for section in _LATER_WINS}
    for line in lines:
        key, assigned, value = line.partition("=")
        section, _, name = key.strip().rpartition(".")
        if assigned and section in sections:
            sections[section][name] = str(ast.literal_eval(value.strip()))
    merged: dict[str, str] = {}
    for section in _LATER_WINS:
        merged |= sections[section]
    return merged


def needs_pip(settings: Mapping[str, str]) -> bool:
    """Whether packages come from elsewhere than the public index that the lock names."""
    if settings.get("no-index", "").lower() in {"1", "true", "yes", "on"}:
        return True
    indexes = [
        settings.get("index-url", PUBLIC_INDEX),
        *settings.get("extra-index-url", "").split(),
    ]
    return any(index.rstrip("/") != PUBLIC_INDEX for index in indexes)


def uv_variables(settings: Mapping[str, str]) -> dict[str, str]:
    """Translate what uv has a variable for."""
    variables = {_VARIABLES[name]: value for name, value in settings.items() if name in _VARIABLES}
    if hosts := settings.get("trusted-host", "").split():
        variables["UV_INSECURE_HOST"] = " ".join(hosts)
    if places := list(_usable_places(settings.get("find-links", ""))):
        variables["UV_FIND_LINKS"] = ",".join(places)
    return variables


def _usable_places(find_links: str) -> Iterator[str]:
    # pip passes over a folder that is not there; uv gives up.
    for place in find_links.split():
        if urlsplit(place).scheme or Path(place).is_dir():
            yield place


def main() -> int:
    """Print what a shell is to `eval`."""
    settings = parse(sys.stdin)
    for name, value in uv_variables(settings).items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
    sys.stdout.write(f"INSTALLER={'pip' if needs_pip(settings) else 'uv'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
