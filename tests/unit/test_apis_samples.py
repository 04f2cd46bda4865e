"""The samples, offline: the good ones are read, each bad one is refused in its own words."""

from pathlib import Path

import pytest

from controller.apis.invalid import InvalidResourceError
from controller.apis.pricebooks import PriceBook
from tests.samples import BAD_SAMPLES, GOOD_SAMPLES, converted, expectation, resource_in


@pytest.mark.parametrize("sample", GOOD_SAMPLES, ids=lambda path: path.stem)
def test_a_good_sample_is_read(sample: Path) -> None:
    read = converted(resource_in(sample))

    assert isinstance(read, PriceBook) or read.generation == 0


@pytest.mark.parametrize("sample", BAD_SAMPLES, ids=lambda path: path.stem)
def test_a_bad_sample_is_refused_with_the_words_that_it_states(sample: Path) -> None:
    with pytest.raises(InvalidResourceError) as refusal:
        converted(resource_in(sample))

    assert expectation(sample).governor in str(refusal.value)


def test_there_are_enough_of_both_and_each_is_about_one_thing() -> None:
    assert len(GOOD_SAMPLES) >= 6
    assert len(BAD_SAMPLES) >= 20
    assert all(expectation(sample).about.endswith(".") for sample in BAD_SAMPLES)
