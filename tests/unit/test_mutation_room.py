"""Whether the stamp fits beside an object's annotations, to the byte as the API server counts."""

import pytest

from controller.apis.json import Json
from controller.mutation.room import MAX_ANNOTATION_BYTES, STAMP_BYTES, annotation_bytes, has_room
from controller.records.stamps import CHANGE, REASON, write_stamp
from tests.builders import CHANGE as CHANGE_ID
from tests.builders import an_object
from tests.recorded import STAMP_KEY, annotated, stamped, with_metadata


def filled(size: int) -> dict[str, Json]:
    """With annotations of exactly that many bytes."""
    return annotated(an_object(), filler="x" * (size - len("filler")))


def test_the_stamp_is_as_large_as_is_said() -> None:
    assert len(CHANGE) + len(write_stamp(CHANGE_ID, key=STAMP_KEY)) == STAMP_BYTES


@pytest.mark.parametrize(
    ("obj", "size"),
    [
        pytest.param(None, 0, id="no object"),
        pytest.param(an_object(), 0, id="no annotations"),
        pytest.param(with_metadata(an_object(), annotations=None), 0, id="null"),
        pytest.param(with_metadata(an_object(), annotations=["a"]), 0, id="a list in their place"),
        pytest.param({"metadata": "text"}, 0, id="no metadata"),
        pytest.param(annotated(an_object(), key="value"), 8, id="key and value"),
        pytest.param(annotated(an_object(), ä="€"), 5, id="bytes, not characters"),
        pytest.param(annotated(an_object(), a="\ud800"), 4, id="no Unicode"),
        pytest.param(annotated(an_object(), a=1), 1, id="a number, which will be refused"),
        pytest.param(stamped(an_object()), 0, id="its stamp"),
        pytest.param(annotated(an_object(), **{REASON: "why"}), 0, id="its reason"),
    ],
)
def test_what_counts(obj: dict[str, Json] | None, size: int) -> None:
    assert annotation_bytes(obj) == size


def test_the_stamp_fits_to_the_byte() -> None:
    assert has_room(filled(MAX_ANNOTATION_BYTES))
    assert not has_room(filled(MAX_ANNOTATION_BYTES + 1))
    assert has_room(stamped(filled(MAX_ANNOTATION_BYTES)))
