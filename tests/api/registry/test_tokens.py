"""Docker's token specification: who gets which token, and what ends it."""

import base64
import time
from datetime import UTC, datetime, timedelta

import httpx
import msgspec
import pytest

from homeport.core import accounts
from homeport.core.access import OPERATOR
from homeport.core.services import Services
from homeport.storage.db.records import OrganizationRole, Permission
from tests.home import Home, User, push_image


def claims(token: str) -> dict[str, object]:
    part = token.split(".")[1]
    found: dict[str, object] = msgspec.json.decode(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def access(home: Home, user: User | None, scope: str, secret: str | None = None) -> dict[str, list[str]]:
    """What a token for a scope carries, by repository."""
    auth = (user.name, secret or user.password) if user else None
    answer = home.anonymous.get("/token", params={"service": "s", "scope": scope}, auth=auth)
    assert answer.status_code == 200
    carried = claims(answer.json()["token"])["access"]
    assert isinstance(carried, list)
    return {entry["name"]: entry["actions"] for entry in carried}


def test_the_root_challenges_and_takes_a_token(home: Home) -> None:
    answer = home.anonymous.get("/v2/")
    host = home.url.removeprefix("http://")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == f'Bearer realm="{home.url}/token",service="{host}"'
    assert answer.headers["docker-distribution-api-version"] == "registry/2.0"
    assert home.registry(home.admin).get("/v2/").json() == {}


def test_a_repository_challenges_with_its_scope(home: Home) -> None:
    answer = home.anonymous.get("/v2/admin/none/manifests/latest")
    assert answer.status_code == 401
    assert ',scope="repository:admin/none:pull"' in answer.headers["www-authenticate"]
    assert answer.json()["errors"][0]["code"] == "UNAUTHORIZED"
    push = home.anonymous.post("/v2/admin/none/blobs/uploads/")
    assert ',scope="repository:admin/none:pull,push"' in push.headers["www-authenticate"]


def test_the_answer_of_the_token_service(home: Home) -> None:
    auth = (home.admin.name, home.admin.password)
    parameters = {"service": "s", "offline_token": "true", "client_id": "docker", "account": "admin"}
    answer = home.anonymous.get("/token", params=parameters, auth=auth).json()
    assert answer["token"] == answer["access_token"]
    assert answer["expires_in"] == 300
    found = claims(answer["token"])
    assert found["sub"] == "admin"
    assert isinstance(found["exp"], int)
    assert isinstance(found["iat"], int)
    assert found["exp"] - found["iat"] == 300
    assert found["access"] == []
    form = {
        "grant_type": "refresh_token",
        "refresh_token": answer["refresh_token"],
        "scope": "repository:admin/x:pull,push",
    }
    refreshed = home.anonymous.post("/token", data=form).json()
    assert claims(refreshed["access_token"])["sub"] == "admin"
    assert refreshed["scope"] == "repository:admin/x:pull,push"
    without = home.anonymous.get("/token", auth=auth).json()
    assert "refresh_token" not in without


def test_a_password_grant_gives_a_refresh_token_when_asked(home: Home) -> None:
    form = {"grant_type": "password", "username": "admin", "password": home.admin.password, "access_type": "offline"}
    answer = home.anonymous.post("/token", data=form)
    assert answer.status_code == 200
    assert answer.json()["refresh_token"]
    wrong = home.anonymous.post("/token", data=form | {"password": "wrong"})
    assert wrong.status_code == 401
    assert home.anonymous.post("/token", data={"grant_type": "other"}).status_code == 400


def test_wrong_credentials_say_so_without_telling_what_was_wrong(home: Home) -> None:
    for auth in (("admin", "wrong"), ("nobody-at-all", "wrong"), ("admin", "dckr_pat_" + "x" * 27)):
        answer = home.anonymous.get("/token", auth=auth)
        assert answer.status_code == 401
        assert answer.json()["details"] == "incorrect username or password"


def test_a_token_carries_what_is_granted_and_no_more(home: Home) -> None:
    owner, reader, writer, member, stranger = (home.user() for _ in range(5))
    organization = home.organization(owner)
    secret = home.repository(organization, is_private=True)
    home.member(organization, member, OrganizationRole.MEMBER)
    home.team_member(secret, reader, Permission.READ)
    home.team_member(secret, writer, Permission.WRITE)
    scope = f"repository:{secret}:*"
    assert access(home, owner, scope) == {str(secret): ["pull", "push", "delete"]}
    assert access(home, writer, scope) == {str(secret): ["pull", "push"]}
    assert access(home, reader, scope) == {str(secret): ["pull"]}
    for nobody in (member, stranger, None):
        assert access(home, nobody, scope) == {}


def test_several_scopes_in_each_form(home: Home) -> None:
    first, second = home.repository("admin"), home.repository("admin", is_private=True)
    both = f"repository:{first}:pull repository:{second}:pull,push"
    assert access(home, home.admin, both) == {str(first): ["pull"], str(second): ["pull", "push"]}
    assert access(home, None, both) == {str(first): ["pull"]}
    odd = f"registry:catalog:* nonsense repository:BAD:pull repository(plugin):{first}:pull"
    assert access(home, home.admin, odd) == {str(first): ["pull"]}


@pytest.mark.parametrize(
    ("scope", "granted"),
    [
        ("repo:admin", ["pull", "push", "delete"]),
        ("repo:write", ["pull", "push"]),
        ("repo:read", ["pull"]),
        ("repo:public_read", []),
    ],
)
def test_the_scopes_of_access_tokens_hold_one_another(home: Home, scope: str, granted: list[str]) -> None:
    user = home.user()
    secret, public = home.repository(user.name, is_private=True), home.repository(user.name)
    _, pat = home.access_token(user, scope)
    carried = access(home, user, f"repository:{secret}:* repository:{public}:*", pat)
    assert carried.get(str(secret), []) == granted
    assert carried[str(public)] == (granted or ["pull"])
    new = access(home, user, f"repository:{user.name}/new:pull,push", pat)
    assert ("push" in new.get(f"{user.name}/new", [])) == ("push" in granted)


def test_a_token_for_one_repository_opens_no_other(home: Home) -> None:
    first, second = home.repository("admin"), home.repository("admin", is_private=True)
    client = home.registry(home.admin, first)
    assert client.get(f"/v2/{first}/tags/list").status_code == 200
    assert client.get(f"/v2/{second}/tags/list").status_code == 401


def test_a_token_for_pulls_pushes_nothing(home: Home) -> None:
    name = home.repository("admin")
    client = home.registry(home.admin, name, actions="pull")
    answer = client.post(f"/v2/{name}/blobs/uploads/")
    assert answer.status_code == 401
    assert answer.json()["errors"][0]["code"] == "DENIED"
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


def test_a_token_does_not_open_a_deleted_and_recreated_repository(home: Home) -> None:
    user = home.user()
    name = home.repository(user.name)
    client = home.registry(user, name)
    assert client.get(f"/v2/{name}/tags/list").status_code == 200

    async def recreate(services: Services) -> None:
        async with services.db.write() as tx:
            await tx.run("delete from repositories where name = :name", name=name.name)
            await tx.run(
                """insert into repositories (namespace_id, name, created_at, updated_at)
                select id, :name, 0, 0 from accounts where name = :namespace""",
                name=name.name,
                namespace=name.namespace,
            )

    home.run(recreate)
    assert client.get(f"/v2/{name}/tags/list").status_code in (401, 404)
    assert home.registry(user, name).get(f"/v2/{name}/tags/list").status_code == 200


def gone_within_a_second(client: httpx.Client, path: str) -> bool:
    """Whether access ends: at once in the process that ended it, within one second in others."""
    deadline = time.monotonic() + 5  # generous: the machine may be busy
    while time.monotonic() < deadline:
        if client.get(path).status_code == 401:
            return True
        time.sleep(0.05)
    return False


def test_what_was_made_from_an_access_token_ends_with_it_at_once(home: Home) -> None:
    user = home.user()
    name = home.repository(user.name, is_private=True)
    manager = home.hub(user)
    for end in ("disable", "delete"):
        token, secret = home.access_token(user)
        registry, hub = home.registry(user, name, secret=secret), home.hub(user, secret)
        offline = home.anonymous.get("/token", params={"offline_token": "true"}, auth=(user.name, secret)).json()
        assert registry.get(f"/v2/{name}/tags/list").status_code == 200
        assert hub.get(f"/v2/repositories/{name}/tags").status_code == 200
        if end == "disable":
            assert manager.patch(f"/v2/access-tokens/{token.uuid}", json={"is_active": False}).status_code == 200
        else:
            assert manager.delete(f"/v2/access-tokens/{token.uuid}").status_code == 202
        # The same process did it: not a moment later.
        assert registry.get(f"/v2/{name}/tags/list").status_code == 401
        assert hub.get(f"/v2/repositories/{name}/tags").status_code == 401
        assert home.anonymous.get("/token", auth=(user.name, secret)).status_code == 401
        form = {"grant_type": "refresh_token", "refresh_token": offline["refresh_token"]}
        assert home.anonymous.post("/token", data=form).status_code == 401


def test_a_deactivated_user_is_out_everywhere(home: Home) -> None:
    user = home.user()
    name = home.repository(user.name, is_private=True)
    _, secret = home.access_token(user)
    clients = [home.registry(user, name), home.registry(user, name, secret=secret)]
    hub = home.hub(user)
    assert all(client.get(f"/v2/{name}/tags/list").status_code == 200 for client in clients)
    assert hub.get("/v2/access-tokens").status_code == 200
    home.deactivate(user)  # by another process
    assert all(gone_within_a_second(client, f"/v2/{name}/tags/list") for client in clients)
    assert gone_within_a_second(hub, "/v2/access-tokens")
    assert home.anonymous.get("/token", auth=(user.name, secret)).status_code == 401


def test_a_member_who_is_gone_pushes_nothing_more(home: Home) -> None:
    owner, writer = home.user(), home.user()
    organization = home.organization(owner)
    name = home.repository(organization, is_private=True)
    home.team_member(name, writer, Permission.WRITE)
    client = home.registry(writer, name)
    push_image(client, name, "before")

    async def leave(services: Services) -> None:
        async with services.db.write() as tx:
            await tx.run(
                "delete from organization_members where account_id = (select id from accounts where name = :name)",
                name=writer.name,
            )

    home.run(leave)
    answer = client.get(f"/v2/{name}/manifests/before")
    assert answer.status_code == 404


@pytest.mark.parametrize(
    "header", ["Basic eDp5", "Bearer", "Bearer x", "Bearer a.b.c", "Token abc", "Bearer " + "x" * 20000]
)
def test_what_is_no_token_is_refused(home: Home, header: str) -> None:
    answer = home.anonymous.get("/v2/", headers={"authorization": header})
    assert answer.status_code == 401


def test_a_token_of_the_hub_is_none_of_the_registry(home: Home) -> None:
    hub = home.hub(home.admin).headers["authorization"]
    registry = home.registry(home.admin).headers["authorization"]
    assert home.anonymous.get("/v2/", headers={"authorization": hub}).status_code == 401
    assert home.anonymous.get("/v2/access-tokens", headers={"authorization": registry}).status_code == 401


def test_what_was_made_from_an_access_token_ends_when_it_expires(home: Home) -> None:
    user = home.user()
    name = home.repository(user.name, is_private=True)
    manager = home.hub(user)
    ends_at = datetime.now(UTC) + timedelta(seconds=2)
    made = manager.post(
        "/v2/access-tokens", json={"token_label": "short", "scopes": ["repo:admin"], "expires_at": ends_at.isoformat()}
    ).json()
    secret = made["token"]
    registry, hub = home.registry(user, name, secret=secret), home.hub(user, secret)
    offline = home.anonymous.get("/token", params={"offline_token": "true"}, auth=(user.name, secret)).json()
    assert registry.get(f"/v2/{name}/tags/list").status_code == 200
    assert hub.get(f"/v2/repositories/{name}/tags").status_code == 200
    assert manager.get("/v2/access-tokens").json()["active_count"] == 1
    time.sleep(max(0, (ends_at - datetime.now(UTC)).total_seconds()))
    assert registry.get(f"/v2/{name}/tags/list").status_code == 401
    assert hub.get(f"/v2/repositories/{name}/tags").status_code == 401
    assert home.anonymous.get("/token", auth=(user.name, secret)).status_code == 401
    form = {"grant_type": "refresh_token", "refresh_token": offline["refresh_token"]}
    assert home.anonymous.post("/token", data=form).status_code == 401
    assert manager.get("/v2/access-tokens").json()["active_count"] == 0


def test_a_new_password_ends_the_sessions_and_no_access_token(home: Home) -> None:
    user = home.user()
    name = home.repository(user.name, is_private=True)
    _, secret = home.access_token(user)
    registry, hub = home.registry(user, name), home.hub(user)
    through_token = home.registry(user, name, secret=secret)
    offline = home.anonymous.get("/token", params={"offline_token": "true"}, auth=(user.name, user.password)).json()
    assert registry.get(f"/v2/{name}/tags/list").status_code == 200
    assert hub.get("/v2/access-tokens").status_code == 200

    async def reset(services: Services) -> None:
        password_hash = await accounts.hash_new_password("another long password")
        async with services.db.write() as tx:
            await accounts.reset_password(tx, actor=OPERATOR, name=user.name, password_hash=password_hash)

    home.run(reset)  # by another process
    assert gone_within_a_second(registry, f"/v2/{name}/tags/list")
    assert gone_within_a_second(hub, "/v2/access-tokens")
    form = {"grant_type": "refresh_token", "refresh_token": offline["refresh_token"]}
    assert home.anonymous.post("/token", data=form).status_code == 401
    assert home.anonymous.get("/token", auth=(user.name, user.password)).status_code == 401
    assert home.anonymous.get("/token", auth=(user.name, "another long password")).status_code == 200
    assert through_token.get(f"/v2/{name}/tags/list").status_code == 200


def test_the_use_of_an_access_token_is_written_down(home: Home) -> None:
    user = home.user()
    manager = home.hub(user)
    token, secret = home.access_token(user)
    url = f"/v2/access-tokens/{token.uuid}"
    before = datetime.now(UTC)

    def last_used() -> datetime | None:
        text = manager.get(url).json()["last_used"]
        return datetime.fromisoformat(text) if text else None

    def is_used_since(moment: datetime) -> bool:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            used = last_used()
            if used is not None and used >= moment:
                return True
            time.sleep(0.2)
        return False

    assert last_used() is None
    hub = home.hub(user, secret)
    assert is_used_since(before)
    before = datetime.now(UTC)
    hub.get("/v2/repositories/library/none/tags")  # a bearer made from it counts too
    assert is_used_since(before)
