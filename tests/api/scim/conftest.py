"""An organization with a provider, for each test."""

import pytest

from tests.home import Home
from tests.provisioning import Provisioned


@pytest.fixture
def provider(home: Home) -> Provisioned:
    return Provisioned.at(home)
