"""The conformance testers that there are for SCIM, against a running server."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import httpx2
import pytest
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import check_server
from scim2_tester.utils import Status

from tests.home import Home
from tests.scim import IdentityProvider

SCIM_SANITY = str(Path(sys.executable).with_name("scim-sanity"))

# Drafts that are no part of SCIM 2.0, and that the service does not announce.
SKIPPED = {
    "Agent CRUD Lifecycle": "Agent not supported by server",
    "AgenticApplication CRUD Lifecycle": "AgenticApplication not supported by server",
    "Agent Rapid Lifecycle": "Agent not supported or not in scope",
}


def test_scim2_tester_finds_nothing(home: Home) -> None:
    provider = IdentityProvider.of(home)
    headers = {"authorization": f"Bearer {provider.secret}"}
    with httpx2.Client(base_url=provider.base_url, headers=headers, timeout=60) as client:
        results = check_server(SyncSCIMClient(client))
    problems = [(result.title, result.reason) for result in results if result.status is not Status.SUCCESS]
    assert problems == []
    assert len(results) > 70


# The profile sends a password and the extensions of Microsoft Entra, which are ignored.
@pytest.mark.parametrize("profile", [[], ["--profile", "entra"]], ids=["plain", "entra"])
def test_scim_sanity_finds_nothing(home: Home, profile: list[str]) -> None:
    provider = IdentityProvider.of(home)
    command = [
        *(SCIM_SANITY, "probe", provider.base_url, "--token", provider.secret),
        *("--strict", "--json-output", "--i-accept-side-effects", *profile),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(done.stdout)["results"]
    assert {result["name"]: result["message"] for result in results if result["status"] != "pass"} == SKIPPED
    assert Counter(result["status"] for result in results)["pass"] >= 28
