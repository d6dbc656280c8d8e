"""The samples of RFC 7644, by section."""

import pytest

from tests.api.scim.transcripts import Stage
from tests.home import Home
from tests.scim import SAMPLES


@pytest.mark.parametrize("name", sorted(path.name for path in SAMPLES.glob("rfc7644-*.json")))
def test_every_sample_is_answered_as_the_rfc_says(home: Home, name: str) -> None:
    Stage(home).play(name)
