"""The token of an identity provider, at the Hub door."""

import httpx
import pytest

from homeport.storage.db.records import OrganizationRole
from tests.conftest import DATABASES, NewHome
from tests.home import Home


def users_by(home: Home, secret: str) -> httpx.Response:
    return home.client(authorization=f"Bearer {secret}").get("/v2/scim/2.0/Users")


def test_an_owner_makes_rotates_and_revokes_it(home: Home) -> None:
    owner = home.user("owner")
    path = f"/v2/orgs/{home.organization(owner)}/scim/token"
    hub = home.hub(owner)
    missing = hub.get(path)
    assert (missing.status_code, "not found" in missing.text) == (404, True)
    made = hub.post(path)
    assert made.status_code == 201
    first = made.json()
    assert first["scim_url"] == f"{home.url}/v2/scim/2.0"
    assert (first["created_by"], first["last_used_at"]) == (owner.name, None)
    assert users_by(home, first["token"]).json()["totalResults"] == 1
    shown = hub.get(f"{path}/").json()
    assert "token" not in shown
    assert shown["last_used_at"] is not None
    again = hub.post(path)
    assert (again.status_code, "rotate" in again.text) == (409, True)
    rotated = hub.post(f"{path}/rotate")
    assert rotated.status_code == 200
    assert users_by(home, first["token"]).status_code == 401
    assert users_by(home, rotated.json()["token"]).status_code == 200
    assert hub.delete(path).status_code == 204
    assert users_by(home, rotated.json()["token"]).status_code == 401
    for method, ending in (("DELETE", ""), ("POST", "/rotate")):
        assert hub.request(method, path + ending).status_code == 404


def test_nobody_else_does(home: Home) -> None:
    owner, member, stranger = home.user("owner"), home.user("member"), home.user("stranger")
    organization = home.organization(owner)
    home.member(organization, member, OrganizationRole.EDITOR)
    _, secret = home.access_token(owner, "repo:admin")
    callers = [
        (home.anonymous, 401),
        (home.hub(stranger), 403),
        (home.hub(member), 403),
        (home.hub(owner, secret), 403),
    ]
    for client, status in callers:
        for method, ending in (("GET", ""), ("POST", ""), ("POST", "/rotate"), ("DELETE", "")):
            answer = client.request(method, f"/v2/orgs/{organization}/scim/token{ending}")
            assert answer.status_code == status, (method, ending, status)


def test_each_deed_is_in_the_log_without_the_secret(home: Home) -> None:
    owner = home.user("owner")
    organization = home.organization(owner)
    hub = home.hub(owner)
    path = f"/v2/orgs/{organization}/scim/token"
    secrets = [hub.post(path).json()["token"], hub.post(f"{path}/rotate").json()["token"]]
    hub.delete(path)
    log = hub.get(f"/v2/auditlogs/{organization}", params={"page_size": 100})
    actions = [event["action"] for event in log.json()["logs"]]
    assert actions[:3] == ["scim.token.revoke", "scim.token.rotate", "scim.token.create"]
    assert not any(secret in log.text for secret in secrets)


@pytest.mark.parametrize("kind", DATABASES)
def test_a_plan_without_it_refuses(kind: str, new_home: NewHome) -> None:
    with new_home(kind, HOMEPORT_PLANS='{"business": {"features": []}}') as home:
        owner = home.user("owner")
        answer = home.hub(owner).post(f"/v2/orgs/{home.organization(owner)}/scim/token")
        assert (answer.status_code, "does not include scim" in answer.text) == (403, True)
