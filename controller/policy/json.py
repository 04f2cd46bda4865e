"""The type of a plain JSON value, for those who ask policies."""

from controller.apis.json import Json as Json
