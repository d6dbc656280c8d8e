"""The access matrix: every route of every door x who asks x public or private. A new route has to enter it.

`MATRIX` is data: a row says what a request is, who is let in, and what they get. Whoever is not let in gets what the
row's rule says, by what they are; and nothing has changed then.
"""

import json
import re
from collections.abc import Callable, Iterator
from string import Formatter
from typing import Any, NamedTuple

import httpx
import pytest

from homeport import app
from homeport.api.http import SCIM_ROOT
from homeport.api.hub import documents
from homeport.api.registry.app import ROUTES as REGISTRY_ROUTES
from homeport.storage.db.records import OrganizationRole, Permission
from homeport.web.app import ROUTES as WEB_ROUTES
from tests.api.scene import (
    ALL_SCOPES,
    ORGANIZATION_TOKENS,
    OUTSIDERS,
    PROVIDERS,
    ROLES,
    SCOPES,
    SHUT_OUT,
    TEAMS,
    WHO,
    Caller,
    Place,
    Scene,
)
from tests.home import OCI_MANIFEST, PASSWORD, Home, digest_of, push_blob, put_manifest, unique
from tests.inviting import age, an_address, last_link, run, value
from tests.scim import GROUP, PATCH_OP, SEARCH_REQUEST, USER

TOKEN_REFUSED = "token issued from personal access token is not allowed"
ORGANIZATION_TOKEN_REFUSED = "token issued from organization access token is not allowed"

# Who is let in

EVERYBODY = frozenset(WHO)
KNOWN = EVERYBODY - {"anonymous", *SHUT_OUT, *PROVIDERS, *ORGANIZATION_TOKENS}
PASSWORDS = KNOWN - SCOPES.keys()
SITE = frozenset({"site administrator"})
OWNERS = SITE | {"owner"}
MEMBERS = OWNERS | ROLES.keys() | TEAMS.keys()
DELETERS = OWNERS | {"editor", "team admin", "token: admin"}
MAKERS = OWNERS | {"editor", "token: admin", "token: write"}
PUSHERS = DELETERS | {"team writer", "collaborator", "token: write"}
PULLERS = PUSHERS | {"team reader", "token: read"}


class Rule(NamedTuple):
    """Who is let in, and what keeps out the others: nobody, users who have nothing to do with the organization,
    users who have, and the owner's personal access tokens.

    `public` are those who are let in where the repository is public. `seers` are those who may know of a private one:
    for the others who have a name it does not exist. `providers` are those identity providers who are let in by their
    SCIM token, which is no token for anything else. With `is_key_elsewhere` no bearer token is looked at: whoever asks
    gets the same.
    """

    allowed: frozenset[str]
    nobody: int = 401
    outsiders: int = 403
    members: int = 403
    tokens: int = 403
    public: frozenset[str] | None = None
    seers: frozenset[str] | None = None
    providers: frozenset[str] = frozenset()
    is_key_elsewhere: bool = False

    def denied(self, who: str, *, is_private: bool) -> int | None:
        """The status that keeps somebody out; none for who is let in."""
        if self.is_key_elsewhere or who in self.providers:
            return None
        if who in (*SHUT_OUT, *PROVIDERS):
            return 404 if self.providers and who in PROVIDERS else 401
        if who in (self.allowed if is_private or self.public is None else self.public):
            return None
        if who == "anonymous":
            return self.nobody
        if is_private and self.seers is not None and who not in self.seers:
            return 404
        others = self.outsiders if who in OUTSIDERS else self.members
        return self.tokens if who in SCOPES else others


def challenging(allowed: frozenset[str], public: frozenset[str] | None = None) -> Rule:
    """The registry's way to refuse: another token might do."""
    return Rule(allowed, nobody=401, outsiders=401, members=401, tokens=401, public=public)


OPEN = Rule(EVERYBODY, is_key_elsewhere=True)
OWN = Rule(PASSWORDS)
READ = Rule(MEMBERS | SCOPES.keys())
MANAGE = Rule(OWNERS)
MANAGE_INVITE = Rule(OWNERS, outsiders=404)
INVITED = Rule(frozenset({"invitee"}), outsiders=404, members=404)
RUN_SITE = Rule(SITE)
MAKE = Rule(MAKERS)
STAR = Rule(KNOWN & PULLERS - {"token: read"}, public=KNOWN - {"token: read", "token: public_read"}, seers=PULLERS)
ADMINISTER = Rule(DELETERS, seers=PULLERS)
WRITE = Rule(PUSHERS, seers=PULLERS)
ANYBODY = Rule(KNOWN | {"anonymous"})
SIGNED = Rule(KNOWN)
SEE = Rule(PULLERS, nobody=404, outsiders=404, members=404, tokens=404, public=KNOWN | {"anonymous"})
PULL = challenging(PULLERS, public=KNOWN | {"anonymous"})
PUSH = challenging(PUSHERS)
DELETE = challenging(DELETERS)
SIGNED_IN = challenging(KNOWN)
NEVER = challenging(frozenset())
WITHOUT_BEARER = challenging(frozenset({"anonymous"}))
PROVISION = challenging(frozenset())._replace(providers=frozenset(PROVIDERS))
PROVISION_OWN = challenging(frozenset())._replace(providers=frozenset(PROVIDERS[:1]))


# What a request needs to be there, made for it: values for its path and its body


def own_log(place: Place, caller: Caller) -> dict[str, str]:
    return {"account": place.owner.name}


def an_organization_token(place: Place, caller: Caller) -> dict[str, str]:
    return {"uuid": place.home.organization_token(place.organization, place.owner)[0].uuid}


def a_token(place: Place, caller: Caller) -> dict[str, str]:
    return {"uuid": place.home.access_token(caller.user)[0].uuid}


def no_second_factor(place: Place, caller: Caller) -> dict[str, str]:
    account = "(select id from accounts where name = :name)"
    run(place.home, f"delete from second_factors where account_id = {account}", name=caller.user.name)
    return {}


def a_domain(place: Place, caller: Caller) -> dict[str, str]:
    domain = f"{unique('domain')}.example"
    added = place.hub.post(f"/v2/orgs/{place.organization}/domains", json={"domain": domain})
    assert added.status_code == 201, added.text
    return {"domain": domain}


def an_invite(place: Place, caller: Caller, invitee: str = "") -> dict[str, str]:
    address = invitee or an_address()
    body = {"org": place.organization, "invitees": [address]}
    answer = place.hub.post("/v2/invites/bulk", json=body)
    assert answer.status_code == 202, answer.text
    invite = answer.json()["invitees"][0]["invite"]["id"]
    if invitee:
        return {"invite_id": invite}
    return {"invite_id": invite, "secret": last_link(place.home, address).token}


def an_own_invite(place: Place, caller: Caller) -> dict[str, str]:
    """The one invite of the place's invitee."""
    place.forget_invitee()
    return an_invite(place, caller, place.invitee.name)


def an_old_invite(place: Place, caller: Caller) -> dict[str, str]:
    """One that may be sent again."""
    values = an_invite(place, caller)
    age(place.home, values["invite_id"], seconds=61)
    return values


def a_mail(place: Place, caller: Caller) -> dict[str, str]:
    an_invite(place, caller)
    return {"mail_id": str(value(place.home, int, "select max(id) from mails"))}


def a_group(place: Place, caller: Caller) -> dict[str, str]:
    name = unique("team")
    made = place.hub.post(f"/v2/orgs/{place.organization}/groups", json={"name": name})
    assert made.status_code == 201, made.text
    return {"group_name": name}


def a_group_member(place: Place, caller: Caller) -> dict[str, str]:
    user = place.home.user()
    place.home.member(place.organization, user, OrganizationRole.MEMBER)
    values = {**a_group(place, caller), "username": user.name}
    url = f"/v2/orgs/{place.organization}/groups/{values['group_name']}/members"
    assert place.hub.post(url, json={"member": values["username"]}).status_code == 200
    return values


def a_tag(place: Place, caller: Caller) -> dict[str, str]:
    tag = unique("doomed")
    assert put_manifest(place.registry, place.repository, tag, place.manifest.encode()).status_code == 201
    return {"reference": tag, "tag": tag}


def a_deleted_tag(place: Place, caller: Caller) -> dict[str, str]:
    values = a_tag(place, caller)
    assert place.registry.delete(f"/v2/{place.repository}/manifests/{values['tag']}").status_code == 202
    return values


def a_repository(place: Place, caller: Caller) -> dict[str, str]:
    """One that everybody has on it what they have on the place's own, to be deleted."""
    name = place.home.repository(place.organization, is_private=place.is_private)
    source, target = place.home.repository_id(place.repository), place.home.repository_id(name)
    for table, holder in (("repository_teams", "team_id"), ("repository_collaborators", "account_id")):
        run(
            place.home,
            f"""insert into {table} (repository_id, {holder}, permission, created_at)
            select cast(:target as bigint), {holder}, permission, created_at from {table}
            where repository_id = :source""",
            source=source,
            target=target,
        )
    return {"repository": name.name}


def a_collaborator(place: Place, caller: Caller) -> dict[str, str]:
    user = place.home.user()
    place.home.collaborator(place.repository, user, Permission.READ)
    return {"username": user.name}


def a_group_id(place: Place, caller: Caller) -> dict[str, str]:
    name = a_group(place, caller)["group_name"]
    url = f"/v2/orgs/{place.organization}/groups/{name}"
    return {"group_id": str(place.hub.get(url).json()["id"])}


def an_assigned_group(place: Place, caller: Caller) -> dict[str, str]:
    values = a_group_id(place, caller)
    url = f"/v2/repositories/{place.repository}/groups"
    body = {"group_id": int(values["group_id"]), "permission": "read"}
    assert place.hub.post(url, json=body).status_code == 200
    return values


def no_webhook(place: Place, caller: Caller) -> dict[str, str]:
    """A repository has no more than 20 of them."""
    id_ = place.home.repository_id(place.repository)
    # In the order that a job takes them in, too.
    webhooks = "select id from webhooks where repository_id = :id"
    run(place.home, f"delete from webhook_targets where webhook_id in ({webhooks})", id=id_)
    run(place.home, "delete from webhooks where repository_id = :id", id=id_)
    return {}


def a_webhook(place: Place, caller: Caller) -> dict[str, str]:
    no_webhook(place, caller)
    name = unique("webhook")
    made = place.hub.post(f"/v2/repositories/{place.repository}/webhooks", json={"name": name})
    assert made.status_code == 201, made.text
    return {"webhook_id": str(made.json()["id"])}


def a_delivery(place: Place, caller: Caller) -> dict[str, str]:
    """One that nobody may be reached with."""
    no_webhook(place, caller)
    url = f"/v2/repositories/{place.repository}/webhooks"
    made = place.hub.post(url, json={"name": "to nobody", "hooks": [{"hook_url": "http://127.0.0.1/"}]})
    a_tag(place, caller)
    values = {"webhook_id": str(made.json()["id"])}
    found = place.hub.get(f"{url}/{values['webhook_id']}/deliveries").json()["results"]
    return {**values, "delivery_id": found[0]["id"]}


def a_blob(place: Place, caller: Caller) -> dict[str, str]:
    return {"digest": push_blob(place.registry, place.repository, unique("blob").encode())}


def by_digest(place: Place, caller: Caller) -> dict[str, str]:
    return {"reference": place.values["subject"]}


def a_new_tag(place: Place, caller: Caller) -> dict[str, str]:
    return {"reference": unique("new")}


def an_upload(place: Place, caller: Caller) -> dict[str, str]:
    """The caller's own, where they can have one."""
    begun = caller.registry.post(f"/v2/{place.repository}/blobs/uploads/")
    if begun.status_code != 202:
        begun = place.registry.post(f"/v2/{place.repository}/blobs/uploads/")
    location = begun.headers["location"].partition("?")[0]
    return {"upload": location.rpartition("/")[2], "content_digest": digest_of(b"content")}


def a_scim_token(place: Place, caller: Caller) -> dict[str, str]:
    place.give_scim_token()
    return {}


def no_scim_token(place: Place, caller: Caller) -> dict[str, str]:
    place.take_scim_token()
    return {}


def a_scim_resource(place: Place, path: str, **fields: Any) -> dict[str, str]:
    place.give_scim_token()
    headers = {"authorization": f"Bearer {place.scim_secret}"}
    made = httpx.post(f"{place.home.url}{SCIM_ROOT}{path}", json=fields, headers=headers)
    assert made.status_code == 201, made.text
    return {"id": made.json()["id"]}


def a_scim_user(place: Place, caller: Caller) -> dict[str, str]:
    return a_scim_resource(place, "/Users", schemas=[USER], userName=unique("scim-user"))


def a_scim_group(place: Place, caller: Caller) -> dict[str, str]:
    return a_scim_resource(place, "/Groups", schemas=[GROUP], displayName=unique("Group"))


def a_resource_type(place: Place, caller: Caller) -> dict[str, str]:
    place.give_scim_token()
    return {"name": "User"}


def a_schema(place: Place, caller: Caller) -> dict[str, str]:
    place.give_scim_token()
    return {"id": USER}


# What opens a route to an organization's access token: one scope of its own, or any.
SCOPE = "scope"
ANY = "any"


def on_namespaces(path: str) -> str:
    """By former paths no such token comes in."""
    return SCOPE if path.startswith("/v2/namespaces/") else ""


Fresh = Callable[[Place, Caller], dict[str, str]]


class Row(NamedTuple):
    """A request, who is let in, and the status that they get.

    `{words}` in path, query and body stand for values of a place, and for those that `fresh` makes for each caller.
    """

    method: str
    path: str
    rule: Rule
    success: int = 200
    body: Any = None
    fresh: Fresh | None = None
    query: str = ""
    media_type: str = ""
    note: str = ""
    ends_session: bool = False
    opened_by: str = ""

    def denied(self, who: str, *, is_private: bool) -> int | None:
        """The status that keeps somebody out; none for who is let in."""
        if who not in ORGANIZATION_TOKENS or self.rule.is_key_elsewhere:
            return self.rule.denied(who, is_private=is_private)
        if self.rule == SIGNED_IN or self.opened_by == ANY or (who == ALL_SCOPES and self.opened_by):
            return None
        if self in SCIM or self.is_registry:
            return None if self.rule in (PULL, PUSH, DELETE) and who == ALL_SCOPES else 401
        return 404 if self.opened_by and is_private and "{repository}" in self.path else 403

    @property
    def route(self) -> tuple[str, str]:
        return self.method, self.path

    @property
    def is_registry(self) -> bool:
        return self.path == "/v2/" or self.path.startswith(("/v2/{repo}", "/v2/_", "/token"))

    def __str__(self) -> str:
        return " ".join(filter(None, (self.method, self.path, self.note)))


class Literal(str):
    """A template of what is no text in JSON."""


SAME_PRIVACY = Literal("{is_private}")


def filled(template: Any, values: dict[str, str]) -> Any:
    if isinstance(template, Literal):
        return json.loads(template.format(**values))
    if isinstance(template, str):
        return template.format(**values)
    if isinstance(template, dict):
        return {key: filled(item, values) for key, item in template.items()}
    if isinstance(template, list):
        return [filled(item, values) for item in template]
    return template


ACCESS = {
    "enabled": False,
    "standard_registries": [{"id": "DockerHub", "allowed": True}],
    "custom_registries": [],
}
IMAGES = {"restricted_images": {"enabled": False, "allow_official_images": True, "allow_verified_publishers": True}}
FACTOR = {"password": PASSWORD, "code": "000000"}
FORM = "application/x-www-form-urlencoded"

DEVICE_CODE_GRANT = "grant_type=urn:ietf:params:oauth:grant-type:device_code&client_id=cli&device_code={new}"

HUB = [
    # Who logs in says who they are in the body.
    Row("POST", "/v2/auth/token", OPEN, body={"identifier": "{owner}", "secret": "{owner_token}"}),
    Row("POST", "/v2/users/login", OPEN, body={"username": "{owner}", "password": "{owner_token}"}),
    Row("GET", "/v2/users/login", OPEN, body={"username": "{owner}", "password": "{owner_token}"}),
    Row("POST", "/v2/users/2fa-login", OPEN, 401, body={"login_2fa_token": "none", "code": "000000"}),
    Row("POST", "/v2/auth/refresh", OPEN, 401, body={"refresh_token": "none"}),
    Row("POST", "/oauth/device/code", OPEN, body="client_id=cli", media_type=FORM),
    Row("POST", "/oauth/token", OPEN, 403, body=DEVICE_CODE_GRANT, media_type=FORM),
    Row("POST", "/oauth/revoke", OPEN, body="token={owner_token}", media_type=FORM),
    Row("POST", "/v2/access-tokens/desktop-generate", OWN, 201),
    Row("POST", "/v2/logout", SIGNED, ends_session=True),
    Row("GET", "/openapi.json", OPEN),
    Row("GET", "/reference", OPEN),
    *(Row(method, "/v2/user", SIGNED) for method in ("GET", "HEAD")),
    Row("PATCH", "/v2/user", OWN, body={"company": "Acme"}),
    *(Row(method, "/v2/users/{user}", ANYBODY) for method in ("GET", "HEAD")),
    *(Row(method, "/v2/orgs/{org_name}", ANYBODY) for method in ("GET", "HEAD")),
    Row("PATCH", "/v2/orgs/{org_name}", MANAGE, body={"company": "{new}"}),
    Row("GET", "/v2/user/orgs", SIGNED),
    Row("GET", "/v2/orgs", SIGNED),
    Row("GET", "/v2/users/{user}/orgs", SIGNED),
    Row("GET", "/v2/users/{user}/repositories", ANYBODY),
    Row("GET", "/v2/users/{user}/repositories/starred", ANYBODY),
    Row("GET", "/v2/users/{user}/registry-settings", MANAGE),
    Row("GET", "/api/billing/v4/accounts/{account_id}/hub-plan", MANAGE),
    Row("POST", "/v2/users/signup", OPEN, 403, body={"username": "{new}", "email": "{new}@example.com"}),
    Row("POST", "/v2/users/password-reset", OPEN, 202, body={"identifier": "{new}"}),
    Row("GET", "/v2/user/email", OWN),
    Row("POST", "/v2/user/email", OWN, 202, body={"password": PASSWORD, "email": "{new}@example.com"}),
    Row("POST", "/v2/user/password", OWN, 400, body={"password": PASSWORD, "new_password": "short"}),
    Row("GET", "/v2/user/2fa", OWN),
    Row("POST", "/v2/user/2fa", OWN, body={"password": PASSWORD}, fresh=no_second_factor),
    Row("DELETE", "/v2/user/2fa", OWN, 409, body=FACTOR, fresh=no_second_factor),
    Row("POST", "/v2/user/2fa/confirm", OWN, 409, body={"code": "000000"}, fresh=no_second_factor),
    Row("POST", "/v2/user/2fa/disable", OWN, 409, body=FACTOR, fresh=no_second_factor),
    Row("POST", "/v2/user/2fa/recovery-codes", OWN, 409, body=FACTOR, fresh=no_second_factor),
    *(
        row
        for path in ("/v2/access-tokens", "/v2/api_tokens")
        for row in (
            Row("GET", path, OWN),
            Row("POST", path, OWN, 201, body={"token_label": "new", "scopes": ["repo:read"]}),
            Row("GET", f"{path}/{{uuid}}", OWN, fresh=a_token),
            Row("PATCH", f"{path}/{{uuid}}", OWN, body={"token_label": "other"}, fresh=a_token),
            Row("DELETE", f"{path}/{{uuid}}", OWN, 202, fresh=a_token),
        )
    ),
    Row("GET", "/v2/access-tokens/{uuid}/effective", OWN, fresh=a_token),
    Row("GET", "/v2/orgs/{name}/access-tokens", MANAGE),
    Row("POST", "/v2/orgs/{name}/access-tokens", MANAGE, 201, body={"label": "new"}),
    Row("GET", "/v2/orgs/{name}/access-tokens/{uuid}", MANAGE, fresh=an_organization_token),
    Row("PATCH", "/v2/orgs/{name}/access-tokens/{uuid}", MANAGE, body={"label": "x"}, fresh=an_organization_token),
    Row("DELETE", "/v2/orgs/{name}/access-tokens/{uuid}", MANAGE, 204, fresh=an_organization_token),
    Row("GET", "/v2/auditlogs/{account}", MANAGE, opened_by=SCOPE),
    Row("GET", "/v2/auditlogs/{account}/actions", MANAGE, opened_by=SCOPE),
    Row("GET", "/v2/auditlogs/{account}", MANAGE, fresh=own_log, note="of a user"),
    Row("GET", "/v2/auditlogs/{account}/actions", MANAGE, fresh=own_log, note="of a user"),
    Row("GET", "/v2/orgs/{name}/settings", MANAGE),
    Row("PUT", "/v2/orgs/{name}/settings", MANAGE, body=IMAGES),
    Row("GET", "/v2/orgs/{name}/settings/registry-access-management", MANAGE, opened_by=SCOPE),
    Row("PUT", "/v2/orgs/{name}/settings/registry-access-management", MANAGE, body=ACCESS, opened_by=SCOPE),
    Row("GET", "/v2/orgs/{name}/settings/policies", MANAGE),
    Row("PATCH", "/v2/orgs/{name}/settings/policies", MANAGE, body={"insights": True}),
    Row("GET", "/v2/orgs/{name}/scim/token", MANAGE, fresh=a_scim_token),
    Row("POST", "/v2/orgs/{name}/scim/token", MANAGE, 201, fresh=no_scim_token),
    Row("POST", "/v2/orgs/{name}/scim/token/rotate", MANAGE, fresh=a_scim_token),
    Row("DELETE", "/v2/orgs/{name}/scim/token", MANAGE, 204, fresh=a_scim_token),
    Row("GET", "/v2/orgs/{name}/domains", MANAGE),
    Row("POST", "/v2/orgs/{name}/domains", MANAGE, 201, body={"domain": "new.example"}),
    Row("DELETE", "/v2/orgs/{name}/domains/{domain}", MANAGE, 204, fresh=a_domain),
    Row("POST", "/v2/orgs/{name}/domains/{domain}/verify", RUN_SITE, fresh=a_domain),
    Row("PUT", "/v2/namespaces/{namespace}/badge", RUN_SITE, body={"badge": "open_source"}),
    *(
        row
        for path in (
            "/v2/namespaces/{namespace}/repositories/{repository}",
            "/v2/repositories/{namespace}/{repository}",
        )
        for method in ("GET", "HEAD")
        for row in (
            Row(method, f"{path}/tags", SEE, opened_by=on_namespaces(path)),
            Row(method, f"{path}/tags/{{tag}}", SEE, opened_by=on_namespaces(path)),
        )
    ),
    Row("GET", "/v2/repositories/{namespace}/{repository}/tags/{tag}/images", SEE),
    Row("GET", "/v2/categories", ANYBODY, opened_by=ANY),
    Row("GET", "/v2/repositories/namespaces", Rule(KNOWN)),
    Row("GET", "/v2/search/repositories", ANYBODY, query="?query={repo}", opened_by=ANY),
    Row("GET", "/api/search/v4", ANYBODY, query="?query={repo}", opened_by=ANY),
    Row("GET", "/api/search/v3/catalog/search", ANYBODY, query="?query={repo}", opened_by=ANY),
    Row("GET", "/v1/_ping", OPEN),
    Row("GET", "/v1/search", ANYBODY, query="?q={repo}", opened_by=ANY),
    Row("POST", "/v2/repositories", MAKE, 201, body={"namespace": "{namespace}", "name": "{new}"}),
    Row(
        *("POST", "/v2/namespaces/{namespace}/repositories/{repository}/delete-tags", ADMINISTER),
        body={"filter": {"names": ["{tag}"]}},
        fresh=a_tag,
        opened_by=SCOPE,
    ),
    Row("GET", "/v2/namespaces/{namespace}/repositories/{repository}/tags/{tag}/history", SEE, opened_by=SCOPE),
    Row(
        *("POST", "/v2/namespaces/{namespace}/repositories/{repository}/tags/{tag}/restore", WRITE),
        body={"digest": "{subject}"},
        fresh=a_deleted_tag,
        opened_by=SCOPE,
    ),
    Row(
        *("PATCH", "/v2/namespaces/{namespace}/repositories/{repository}/immutabletags", ADMINISTER),
        body={"immutable_tags": False, "immutable_tags_rules": ["{new}"]},
        opened_by=SCOPE,
    ),
    Row(
        *("POST", "/v2/namespaces/{namespace}/repositories/{repository}/immutabletags/verify", ADMINISTER),
        body={"regex": ".*"},
        opened_by=SCOPE,
    ),
    *(
        row
        for path in ("/v2/namespaces/{namespace}/repositories", "/v2/repositories/{namespace}")
        for row in (
            Row("GET", path, ANYBODY, note="of any name", opened_by=on_namespaces(path) and ANY),
            Row("POST", path, MAKE, 201, body={"name": "{new}"}, opened_by=on_namespaces(path)),
            *(Row(method, f"{path}/{{repository}}", SEE, opened_by=on_namespaces(path)) for method in ("GET", "HEAD")),
            Row(
                "PATCH",
                f"{path}/{{repository}}",
                ADMINISTER,
                body={"description": "{new}"},
                opened_by=on_namespaces(path),
            ),
            Row("DELETE", f"{path}/{{repository}}", ADMINISTER, 202, fresh=a_repository, opened_by=on_namespaces(path)),
            Row(
                "DELETE",
                f"{path}/{{repository}}/tags/{{tag}}",
                ADMINISTER,
                204,
                fresh=a_tag,
                opened_by=on_namespaces(path),
            ),
            Row(
                "POST",
                f"{path}/{{repository}}/privacy",
                ADMINISTER,
                body={"is_private": SAME_PRIVACY},
                opened_by=on_namespaces(path),
            ),
            Row(
                "PATCH",
                f"{path}/{{repository}}/categories",
                ADMINISTER,
                body=[{"slug": "security"}],
                opened_by=on_namespaces(path),
            ),
            Row("POST", f"{path}/{{repository}}/stars", STAR, opened_by=on_namespaces(path)),
            Row("DELETE", f"{path}/{{repository}}/stars", STAR, 204, opened_by=on_namespaces(path)),
            Row("GET", f"{path}/{{repository}}/comments", SEE),
            Row("GET", f"{path}/{{repository}}/collaborators", ADMINISTER),
            Row("POST", f"{path}/{{repository}}/collaborators", ADMINISTER, body={"user": "{owner}"}),
            Row(
                *("DELETE", f"{path}/{{repository}}/collaborators/{{username}}", ADMINISTER, 204),
                fresh=a_collaborator,
            ),
            Row("GET", f"{path}/{{repository}}/groups", ADMINISTER, opened_by=on_namespaces(path)),
            Row(
                *("POST", f"{path}/{{repository}}/groups", ADMINISTER),
                body={"group_id": Literal("{group_id}"), "permission": "write"},
                fresh=a_group_id,
                opened_by=on_namespaces(path),
            ),
            Row(
                "GET",
                f"{path}/{{repository}}/groups/{{group_id}}",
                ADMINISTER,
                fresh=an_assigned_group,
                opened_by=on_namespaces(path),
            ),
            Row(
                *("PATCH", f"{path}/{{repository}}/groups/{{group_id}}", ADMINISTER),
                body={"permission": "admin"},
                fresh=an_assigned_group,
                opened_by=on_namespaces(path),
            ),
            Row(
                "DELETE",
                f"{path}/{{repository}}/groups/{{group_id}}",
                ADMINISTER,
                204,
                fresh=an_assigned_group,
                opened_by=on_namespaces(path),
            ),
        )
    ),
    *(
        row
        for path in (
            "/v2/namespaces/{namespace}/repositories/{repository}/webhooks",
            "/v2/repositories/{namespace}/{repository}/webhooks",
        )
        for row in (
            Row("GET", path, ADMINISTER, opened_by=on_namespaces(path)),
            Row("POST", path, ADMINISTER, 201, body={"name": "{new}"}, fresh=no_webhook, opened_by=on_namespaces(path)),
            Row("GET", f"{path}/{{webhook_id}}", ADMINISTER, fresh=a_webhook, opened_by=on_namespaces(path)),
            Row(
                "PATCH",
                f"{path}/{{webhook_id}}",
                ADMINISTER,
                body={"name": "{new}"},
                fresh=a_webhook,
                opened_by=on_namespaces(path),
            ),
            Row("DELETE", f"{path}/{{webhook_id}}", ADMINISTER, 204, fresh=a_webhook, opened_by=on_namespaces(path)),
            Row(
                *("POST", f"{path}/{{webhook_id}}/hooks", ADMINISTER, 201),
                body={"hook_url": "https://ci.example.com/{new}"},
                fresh=a_webhook,
                opened_by=on_namespaces(path),
            ),
            Row("GET", f"{path}/{{webhook_id}}/deliveries", ADMINISTER, fresh=a_webhook, opened_by=on_namespaces(path)),
            Row(
                "GET",
                f"{path}/{{webhook_id}}/deliveries/{{delivery_id}}",
                ADMINISTER,
                fresh=a_delivery,
                opened_by=on_namespaces(path),
            ),
            Row(
                *("POST", f"{path}/{{webhook_id}}/deliveries/{{delivery_id}}/redeliver", ADMINISTER, 202),
                fresh=a_delivery,
                opened_by=on_namespaces(path),
            ),
        )
    ),
    Row("GET", "/v2/orgs/{org_name}/members", READ, opened_by=SCOPE),
    Row("GET", "/v2/orgs/{org_name}/members/export", MANAGE, opened_by=SCOPE),
    Row(
        "PUT",
        "/v2/orgs/{org_name}/members/{username}",
        MANAGE,
        body={"role": "editor"},
        fresh=a_group_member,
        opened_by=SCOPE,
    ),
    Row("DELETE", "/v2/orgs/{org_name}/members/{username}", MANAGE, 204, fresh=a_group_member, opened_by=SCOPE),
    Row("GET", "/v2/orgs/{org_name}/groups", READ, opened_by=SCOPE),
    Row("POST", "/v2/orgs/{org_name}/groups", MANAGE, 201, body={"name": "{new}"}, opened_by=SCOPE),
    Row("GET", "/v2/orgs/{org_name}/groups/{group_name}", READ, fresh=a_group, opened_by=SCOPE),
    Row(
        "PUT", "/v2/orgs/{org_name}/groups/{group_name}", MANAGE, body={"name": "{new}"}, fresh=a_group, opened_by=SCOPE
    ),
    Row(
        "PATCH",
        "/v2/orgs/{org_name}/groups/{group_name}",
        MANAGE,
        body={"description": "New"},
        fresh=a_group,
        opened_by=SCOPE,
    ),
    Row("DELETE", "/v2/orgs/{org_name}/groups/{group_name}", MANAGE, 204, fresh=a_group, opened_by=SCOPE),
    Row("GET", "/v2/orgs/{org_name}/groups/{group_name}/members", READ, fresh=a_group, opened_by=SCOPE),
    Row(
        *("POST", "/v2/orgs/{org_name}/groups/{group_name}/members", MANAGE),
        body={"member": "{owner}"},
        fresh=a_group,
        opened_by=SCOPE,
    ),
    Row(
        *("DELETE", "/v2/orgs/{org_name}/groups/{group_name}/members/{username}", MANAGE, 204),
        fresh=a_group_member,
        opened_by=SCOPE,
    ),
    Row("GET", "/v2/orgs/{org_name}/invites", MANAGE, opened_by=SCOPE),
    Row(
        "POST",
        "/v2/invites/bulk",
        MANAGE,
        202,
        body={"org": "{org_name}", "invitees": ["{new}@example.com"]},
        opened_by=SCOPE,
    ),
    Row("DELETE", "/v2/invites/{invite_id}", MANAGE_INVITE, 204, fresh=an_invite, opened_by=SCOPE),
    Row("PATCH", "/v2/invites/{invite_id}/resend", MANAGE_INVITE, 204, fresh=an_old_invite, opened_by=SCOPE),
    Row("GET", "/v2/user/invites", OWN),
    Row("POST", "/v2/invites/{invite_id}/accept", INVITED, 204, fresh=an_own_invite),
    Row("POST", "/v2/invites/{invite_id}/decline", INVITED, 204, fresh=an_own_invite),
    Row("GET", "/v2/mails", RUN_SITE),
    Row("GET", "/v2/mails/{mail_id}", RUN_SITE, fresh=a_mail),
]

REGISTRY_PATHS = {
    "manifests": "/v2/{repo}/manifests/{reference}",
    "blobs": "/v2/{repo}/blobs/{digest}",
    "uploads": "/v2/{repo}/blobs/uploads/",
    "upload": "/v2/{repo}/blobs/uploads/{upload}",
    "tags": "/v2/{repo}/tags/list",
    "referrers": "/v2/{repo}/referrers/{subject}",
}

REGISTRY = [
    *(
        Row(method, REGISTRY_PATHS[kind], PULL)
        for kind in ("manifests", "blobs", "tags", "referrers")
        for method in ("GET", "HEAD")
    ),
    Row("GET", REGISTRY_PATHS["manifests"], PULL, fresh=by_digest, note="by digest"),
    Row(
        *("PUT", REGISTRY_PATHS["manifests"], PUSH, 201),
        body="{manifest}",
        media_type=OCI_MANIFEST,
        fresh=a_new_tag,
    ),
    Row("DELETE", REGISTRY_PATHS["manifests"], DELETE, 202, fresh=a_tag),
    Row("DELETE", REGISTRY_PATHS["blobs"], DELETE, 202, fresh=a_blob),
    Row("POST", REGISTRY_PATHS["uploads"], PUSH, 202),
    Row("GET", REGISTRY_PATHS["upload"], PUSH, 204, fresh=an_upload),
    Row("HEAD", REGISTRY_PATHS["upload"], PUSH, 204, fresh=an_upload),
    Row("PATCH", REGISTRY_PATHS["upload"], PUSH, 202, body="content", fresh=an_upload),
    Row("PUT", REGISTRY_PATHS["upload"], PUSH, 201, body="content", query="?digest={content_digest}", fresh=an_upload),
    Row("DELETE", REGISTRY_PATHS["upload"], PUSH, 204, fresh=an_upload),
    Row("GET", "/v2/", SIGNED_IN),
    Row("HEAD", "/v2/", SIGNED_IN),
    Row("GET", "/v2/_catalog", NEVER),
    # What it grants whom shows in all the rows above. It takes passwords and secrets, no bearer tokens.
    Row("GET", "/token", WITHOUT_BEARER),
    Row("HEAD", "/token", WITHOUT_BEARER),
    Row(
        *("POST", "/token", OPEN),
        body="grant_type=password&username={owner}&password={owner_token}",
        media_type=FORM,
    ),
]

# Here the secret of the link is the key.
WEB = [
    Row("GET", "/invites/{invite_id}", OPEN, query="?token={secret}", fresh=an_invite),
    Row("HEAD", "/invites/{invite_id}", OPEN, query="?token={secret}", fresh=an_invite),
    Row("POST", "/invites/{invite_id}/decline", OPEN, body="token={secret}", media_type=FORM, fresh=an_invite),
    Row(
        *("POST", "/invites/{invite_id}/accept", OPEN, 403),
        body="token={secret}&username={owner}&password={owner_token}",
        media_type=FORM,
        fresh=an_invite,
    ),
    Row(
        *("POST", "/invites/{invite_id}/join", OPEN, 400),
        body="token={secret}&username={new}&password=short",
        media_type=FORM,
        fresh=an_invite,
    ),
]

# So it is here; without a link there is nothing behind these pages.
ACCOUNT_PAGES = [
    *(Row(method, "/account/password", OPEN) for method in ("GET", "HEAD")),
    Row("POST", "/account/password", OPEN, body="identifier={new}", media_type=FORM),
    *(Row(method, "/account/sign-up", OPEN, 403) for method in ("GET", "HEAD", "POST")),
    *(
        row
        for what, deed in (("password", "reset"), ("email", "confirm"), ("sign-up", "create"))
        for row in (
            Row("GET", f"/account/{what}/{{link_id}}", OPEN, 404),
            Row("HEAD", f"/account/{what}/{{link_id}}", OPEN, 404),
            Row("POST", f"/account/{what}/{{link_id}}/{deed}", OPEN, 404, body="token={new}", media_type=FORM),
        )
    ),
]

# And here the code that a program shows; it can be guessed, and no page tells of a wrong one before it is typed.
ACTIVATION_PAGES = [
    *(Row(method, "/activate", OPEN, query="?user_code={new}") for method in ("GET", "HEAD")),
    *(
        Row("POST", f"/activate{deed}", OPEN, 404, body="user_code={new}", media_type=FORM)
        for deed in ("", "/allow", "/deny")
    ),
]

OPERATIONS = {"schemas": [PATCH_OP], "Operations": [{"op": "replace", "path": "displayName", "value": "{new}"}]}
SEARCH: dict[str, Any] = {"schemas": [SEARCH_REQUEST]}
NEW_USER = {"schemas": [USER], "userName": "{new}"}
NEW_GROUP = {"schemas": [GROUP], "displayName": "{new}"}

# Whoever is not an identity provider is nobody here; a provider finds its own organization's resources alone.
SCIM = [
    Row("GET", f"{SCIM_ROOT}/ServiceProviderConfig", PROVISION, fresh=a_scim_token),
    Row("GET", f"{SCIM_ROOT}/ResourceTypes", PROVISION, fresh=a_scim_token),
    Row("GET", f"{SCIM_ROOT}/ResourceTypes/{{name}}", PROVISION, fresh=a_resource_type),
    Row("GET", f"{SCIM_ROOT}/Schemas", PROVISION, fresh=a_scim_token),
    Row("GET", f"{SCIM_ROOT}/Schemas/{{id}}", PROVISION, fresh=a_schema),
    Row("POST", f"{SCIM_ROOT}/.search", PROVISION, body=SEARCH, fresh=a_scim_token),
    *(
        row
        for path, new, fresh in (
            (f"{SCIM_ROOT}/Users", NEW_USER, a_scim_user),
            (f"{SCIM_ROOT}/Groups", NEW_GROUP, a_scim_group),
        )
        for row in (
            Row("GET", path, PROVISION, fresh=a_scim_token),
            Row("POST", path, PROVISION, 201, body=new, fresh=a_scim_token),
            Row("POST", f"{path}/.search", PROVISION, body=SEARCH, fresh=a_scim_token),
            Row("GET", f"{path}/{{id}}", PROVISION_OWN, fresh=fresh),
            Row("PUT", f"{path}/{{id}}", PROVISION_OWN, body=new, fresh=fresh),
            Row("PATCH", f"{path}/{{id}}", PROVISION_OWN, body=OPERATIONS, fresh=fresh),
            Row("DELETE", f"{path}/{{id}}", PROVISION_OWN, 204, fresh=fresh),
        )
    ),
]

HEALTH = [Row(method, path, OPEN) for path in app.OWN_PATHS for method in ("GET", "HEAD")]

MATRIX = [*HUB, *SCIM, *REGISTRY, *WEB, *ACCOUNT_PAGES, *ACTIVATION_PAGES, *HEALTH]


def routes_of_the_code(home: Home) -> Iterator[tuple[str, str]]:
    for path, operations in home.anonymous.get("/openapi.json").json()["paths"].items():
        yield from ((method.upper(), path) for method in operations if method != "parameters")
    for handler in documents.handlers:
        yield from (("GET", path) for path in handler.paths)
    for kind, method in REGISTRY_ROUTES:
        yield method, REGISTRY_PATHS[kind]
    for pattern, methods in WEB_ROUTES:
        word = "{invite_id}" if pattern.pattern.startswith("/invites/") else "{link_id}"
        path = pattern.pattern.replace("([^/]+)", word).removesuffix("/?")
        yield from ((method, path) for method in methods)
    for path in app.OWN_PATHS:
        yield from (("GET", path), ("HEAD", path))
    # What the registry answers outside of its table.
    yield from (("GET", "/v2/"), ("HEAD", "/v2/"), ("GET", "/v2/_catalog"))
    yield from (("GET", "/token"), ("HEAD", "/token"), ("POST", "/token"))


def test_every_route_has_a_row_and_every_row_a_route(home: Home) -> None:
    assert {row.route for row in MATRIX} == set(routes_of_the_code(home))


@pytest.fixture(scope="module", params=[True, False], ids=["private", "public"])
def scene(request: pytest.FixtureRequest, home: Home) -> Scene:
    return Scene(home, is_private=request.param)


def ask(row: Row, caller: Caller, values: dict[str, str]) -> httpx.Response:
    client = caller.registry if row.is_registry else caller.hub
    body = filled(row.body, values)
    content = {"content": body} if isinstance(body, str) else {"json": body} if body is not None else {}
    headers = {"content-type": row.media_type} if row.media_type else {}
    return client.request(row.method, filled(row.path + row.query, values), headers=headers, **content)


def values_for(row: Row, place: Place, caller: Caller) -> dict[str, str]:
    fresh = row.fresh(place, caller) if row.fresh else {}
    return {**place.values, "new": unique("new"), **fresh}


def told(answer: httpx.Response) -> str:
    """A status, with what is wrong in how it is said."""
    problems = []
    is_api = answer.request.url.path.startswith("/v2/")
    if answer.status_code == 404 and answer.request.method != "HEAD" and "not found" not in answer.text.lower():
        problems.append("does not say that it is not found")
    if answer.status_code == 401 and is_api and "www-authenticate" not in answer.headers:
        problems.append("does not challenge")
    return " ".join([str(answer.status_code), *problems])


@pytest.mark.parametrize("row", MATRIX, ids=str)
def test_who_gets_what(scene: Scene, row: Row) -> None:
    expected = {who: row.denied(who, is_private=scene.is_private) for who in WHO}
    answers = {}
    values = values_for(row, scene.here, scene.here.caller)
    before = scene.snapshot()
    for who, status in expected.items():
        if status is not None:
            answers[who] = ask(row, scene.callers[who], values)
    assert scene.snapshot() == before, "somebody who was not let in has changed something"
    for who, status in expected.items():
        if status is None:
            caller = scene.callers[who]
            if row.ends_session:
                caller = caller._replace(hub=scene.home.hub(caller.user))
            answers[who] = ask(row, caller, values_for(row, scene.here, caller))
    scene.here.forget_invitee()
    assert {who: told(answers[who]) for who in WHO} == {who: str(expected[who] or row.success) for who in WHO}
    for tokens, text in ((SCOPES, TOKEN_REFUSED), (ORGANIZATION_TOKENS, ORGANIZATION_TOKEN_REFUSED)):
        refused = {who for who in tokens if expected[who] == 403 and row.method != "HEAD"}
        assert {who for who in tokens if text in answers[who].text} == refused


ORGANIZATIONS = ("name", "org_name", "account", "account_id", "namespace")


def names_organization(row: Row) -> bool:
    return any(f"{{{key}}}" in f"{row.path} {row.body}" for key in ORGANIZATIONS) and not (row.note or row in SCIM)


@pytest.mark.parametrize("row", [row for row in MATRIX if names_organization(row)], ids=str)
def test_an_unknown_organization_is_not_found(scene: Scene, row: Row) -> None:
    values = {**values_for(row, scene.here, scene.here.caller), **dict.fromkeys(ORGANIZATIONS, unique("nowhere"))}
    answers = {who: told(ask(row, caller, values)) for who, caller in scene.callers.items()}
    # What the site's administrators do, nobody else hears anything of.
    told_so = SITE if row.rule is RUN_SITE else KNOWN | ({"anonymous"} if row.rule in (SEE, ANYBODY) else set())
    refused = set() if row.opened_by else set(ORGANIZATION_TOKENS)
    told_so |= set(ORGANIZATION_TOKENS) - refused
    assert {who for who, answer in answers.items() if answer == "404"} == told_so
    assert {who for who, answer in answers.items() if answer == "403"} >= refused
    assert {answer for who, answer in answers.items() if who not in KNOWN | told_so | refused} == {"401"}


# Two ids in one path: the child has to be the parent's.

PARENTS = {*ORGANIZATIONS, "repository", "repo"}
CHILDREN = (
    *("group_id", "group_name", "username", "domain", "tag", "reference", "digest", "upload", "uuid", "invite_id"),
    *("webhook_id", "delivery_id", "id"),
)

# Links, mails and users have no parent, and an empty list of referrers does not tell whether there is a manifest.
NO_CHILDREN = {"link_id", "mail_id", "subject", "user"}

# What a path may name although its parent has it not: a tag that is new, a schema that all have.
NAMES_NO_CHILD = [("PUT", REGISTRY_PATHS["manifests"]), ("GET", f"{SCIM_ROOT}/Schemas/{{id}}")]


def test_every_id_in_a_path_is_known_as_a_parent_or_as_a_child() -> None:
    words = {word for row in MATRIX for _, word, _, _ in Formatter().parse(row.path) if word}
    assert words == PARENTS | set(CHILDREN) | NO_CHILDREN


def foreign_children() -> Iterator[tuple[Row, str]]:
    for row in MATRIX:
        if row.route not in NAMES_NO_CHILD:
            yield from ((row, child) for child in CHILDREN if f"{{{child}}}" in row.path)


@pytest.mark.parametrize(("row", "child"), list(foreign_children()), ids=str)
def test_a_foreign_child_is_not_found(scene: Scene, row: Row, child: str) -> None:
    """Asked for by who may do all with the parent in the path, and nothing with that of the child."""
    asking = scene.there.caller
    if row.rule is RUN_SITE:
        asking = scene.callers["site administrator"]
    if row in SCIM:
        asking = scene.callers["identity provider elsewhere"]
    foreign = values_for(row, scene.here, scene.here.caller)
    values = {**values_for(row, scene.there, scene.there.caller), child: foreign[child]}
    before = scene.snapshot()
    answer = ask(row, asking, values)
    assert told(answer) == "404", answer.text
    assert scene.snapshot() == before


SLASHES = [row for row in [*HUB, *SCIM] if row.path not in ("/openapi.json", "/reference")]


@pytest.mark.parametrize("row", SLASHES, ids=str)
def test_a_slash_at_the_end_of_a_path_lets_in_nobody_else(scene: Scene, row: Row) -> None:
    values = values_for(row, scene.here, scene.here.caller)
    for who in ("anonymous", "stranger", "member", "token: admin", *ORGANIZATION_TOKENS, *SHUT_OUT, *PROVIDERS):
        status = row.denied(who, is_private=scene.is_private)
        if status is not None:
            answer = ask(row._replace(path=f"{row.path}/"), scene.callers[who], values)
            assert (who, told(answer)) == (who, str(status))


NEEDS_BEARER = [row for row in [*HUB, *SCIM] if row.body is not None and not row.rule.is_key_elsewhere]


@pytest.mark.parametrize("row", NEEDS_BEARER, ids=str)
def test_who_is_not_known_is_told_so_whatever_they_send(scene: Scene, row: Row) -> None:
    values = values_for(row, scene.here, scene.here.caller)
    for who in ("anonymous", *SHUT_OUT):
        answer = ask(row._replace(body="{{"), scene.callers[who], values)
        assert (who, told(answer)) == (who, "401")


def with_numbers(path: str) -> str:
    """A path whose numbers are some: the words are no path."""
    return re.sub(r"\{(group_id|mail_id|webhook_id)\}", "1", path)


@pytest.mark.parametrize("path", sorted({with_numbers(row.path) for row in HUB}))
def test_options_of_a_path_are_no_error(scene: Scene, path: str) -> None:
    answer = scene.home.anonymous.options(path)
    assert answer.status_code in (204, 401)
    assert answer.status_code == 401 or "OPTIONS" in answer.headers["allow"]


@pytest.mark.parametrize("row", [row for row in REGISTRY if "{repo}" in row.path], ids=str)
def test_a_token_for_nobody_opens_what_is_public(scene: Scene, row: Row) -> None:
    client = scene.home.registry(None, scene.here.repository)
    caller = Caller(scene.here.owner, client, client)
    status = row.denied("anonymous", is_private=scene.is_private)
    values = values_for(row, scene.here, scene.here.caller)
    before = scene.snapshot()
    assert told(ask(row, caller, values)) == str(status or row.success)
    assert scene.snapshot() == before


@pytest.mark.parametrize("who", SHUT_OUT)
def test_who_is_shut_out_buys_no_new_token(scene: Scene, who: str) -> None:
    user = scene.callers[who].user
    client = scene.home.anonymous
    answers = [
        client.get("/token", params={"service": "test"}, auth=(user.name, user.password)),
        client.post("/token", data={"grant_type": "password", "username": user.name, "password": user.password}),
        client.post("/v2/auth/token", json={"identifier": user.name, "secret": user.password}),
        client.post("/v2/users/login", json={"username": user.name, "password": user.password}),
    ]
    assert [answer.status_code for answer in answers] == [401] * 4


def test_lists_of_tokens_and_invites_hold_ones_own(scene: Scene) -> None:
    invite = an_own_invite(scene.here, scene.here.caller)["invite_id"]
    uuid = scene.home.access_token(scene.here.owner)[0].uuid
    with_tokens, with_invites = set(), set()
    for who in PASSWORDS:
        client = scene.callers[who].hub
        tokens = client.get("/v2/access-tokens", params={"page_size": 100}).json()["results"]
        if uuid in {token["uuid"] for token in tokens}:
            with_tokens.add(who)
        if invite in {found["id"] for found in client.get("/v2/user/invites").json()["data"]}:
            with_invites.add(who)
    scene.here.forget_invitee()
    assert (with_tokens, with_invites) == ({"owner"}, {"invitee"})


def test_members_leave_by_password_and_not_by_token(scene: Scene) -> None:
    home, organization = scene.home, scene.here.organization
    user = home.user()
    home.member(organization, user, OrganizationRole.EDITOR)
    url = f"/v2/orgs/{organization}/members/{user.name}"
    by_token = home.hub(user, home.access_token(user)[1]).delete(url)
    assert (by_token.status_code, by_token.json()["message"]) == (403, TOKEN_REFUSED)
    by_password = home.hub(user)
    assert by_password.delete(url).status_code == 204
    assert by_password.get(f"/v2/orgs/{organization}/members").status_code == 403
