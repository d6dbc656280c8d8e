"""What Okta and Microsoft Entra ID send, rewritten from their public documentation."""

import pytest

from tests.api.scim.transcripts import Stage
from tests.home import Home
from tests.scim import SAMPLES


@pytest.mark.parametrize("name", sorted(path.name for path in SAMPLES.glob("okta-*.json")))
def test_okta_provisions_members_and_teams(home: Home, name: str) -> None:
    Stage(home).play(name)


@pytest.mark.parametrize("name", sorted(path.name for path in SAMPLES.glob("entra-*.json")))
def test_entra_provisions_members_and_teams(home: Home, name: str) -> None:
    Stage(home).play(name)
