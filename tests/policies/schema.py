"""Reads the published schema of the input document; judges no document itself."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, cast

import jsonschema

from controller.apis.json import Json


class Validator(Protocol):
    """Lists what is wrong with a document."""

    def iter_errors(self, instance: Json) -> Iterator[jsonschema.ValidationError]:
        """Yield one error for each place where the document breaks the schema."""
        ...


def published_schema(repository: Path) -> Validator:
    """The schema that policies are checked against, itself a valid one."""
    schema = json.loads((repository / "policies/schemas/input.json").read_text(encoding="utf-8"))
    jsonschema.Draft7Validator.check_schema(schema)
    return cast("Validator", jsonschema.Draft7Validator(schema))
