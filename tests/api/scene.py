"""Whoever asks in the access matrix, and what there is for them to ask for."""

import functools
import hashlib
import time
from collections.abc import Callable
from typing import NamedTuple

import httpx

from homeport.core import grants
from homeport.core.grants import Resource
from homeport.names import RepositoryName
from homeport.storage.db.records import OrganizationRole, Permission
from tests.home import Home, User, digest_of, push_image, unique
from tests.inviting import run, value
from tests.mailing import settle
from tests.scim import new_token

ROLES = {"member": OrganizationRole.MEMBER, "editor": OrganizationRole.EDITOR}
TEAMS = {"team reader": Permission.READ, "team writer": Permission.WRITE, "team admin": Permission.ADMIN}
SCOPES = {
    "token: admin": "repo:admin",
    "token: write": "repo:write",
    "token: read": "repo:read",
    "token: public_read": "repo:public_read",
}
# What the organization's own access tokens are given: all that there is, and nothing that there is anything of.
ALL_SCOPES = "organization token: all"
NO_SCOPES = "organization token: none that fit"
ORGANIZATION_TOKENS = (ALL_SCOPES, NO_SCOPES)
OUTSIDERS = ("stranger", "invitee", "collaborator")
SHUT_OUT = ("revoked token", "deactivated user")
PROVIDERS = ("identity provider", "identity provider elsewhere")
HEARD_WITHIN_S = 10

WHO = (
    *("anonymous", *OUTSIDERS, *ROLES, *TEAMS, "owner", "site administrator"),
    *(*SCOPES, *ORGANIZATION_TOKENS, *SHUT_OUT, *PROVIDERS),
)

# What requests change: how many there are of each, and how they read.
_TABLES = {
    "accounts": "badge || full_name || company || coalesce(email, '') || credentials_version",
    "confirmations": "email",
    "device_logins": "status",
    "ended_sessions": "''",
    "access_tokens": "label || scopes || description || coalesce(grants, '') || is_active",
    "invites": "status || role",
    "mails": "recipient",
    "manifests": "digest",
    "organization_domains": "coalesce('' || verified_at, '')",
    "organization_members": "role",
    "organization_settings": "custom_registries",
    "repositories": "name || description || categories || star_count || is_private || is_active || immutable_tag_rules",
    "repository_blobs": "''",
    "repository_collaborators": "permission",
    "repository_stars": "''",
    "repository_teams": "permission",
    "scim_emails": "value",
    "scim_tokens": "secret_sha256",
    "scim_users": "user_name || is_shut_out",
    "second_factors": "''",
    "tags": "name",
    "team_members": "''",
    "teams": "name || description",
    "uploads": "''",
    "webhook_targets": "url",
    "webhooks": "name",
}
_SNAPSHOT = " || ' ' || ".join(
    f"(select count(*) || ':' || coalesce(sum(length({text})), 0) from {table})" for table, text in _TABLES.items()
)


class Caller(NamedTuple):
    """One who asks, with a client for each door; `user` is whose account it is."""

    user: User
    hub: httpx.Client
    registry: httpx.Client


class Place:
    """An organization with one of each thing, and its owner."""

    def __init__(self, home: Home, *, is_private: bool) -> None:
        self.home = home
        self.is_private = is_private
        self.owner = home.user("owner")
        self.invitee = home.user("invitee")
        self.organization = home.organization(self.owner)
        self.repository = home.repository(self.organization, is_private=is_private)
        self.scim_secret = new_token(home, self.organization)
        self.caller = Caller(self.owner, home.hub(self.owner), home.registry(self.owner, self.repository))
        self.hub, self.registry = self.caller.hub, self.caller.registry
        tag = unique("tag")
        manifest = push_image(self.registry, self.repository, tag, text=self.organization)
        self.manifest = manifest.decode()
        self.values = {
            **dict.fromkeys(("name", "org_name", "account", "namespace"), self.organization),
            "is_private": "true" if is_private else "false",
            "repository": self.repository.name,
            "repo": str(self.repository),
            "tag": tag,
            "reference": tag,
            "digest": digest_of(f"layer {self.organization}".encode()),
            "subject": digest_of(manifest),
            "manifest": self.manifest,
            "owner": self.owner.name,
            "account_id": value(home, str, "select uuid from accounts where name = :name", name=self.organization),
            "user": self.owner.name,
            "link_id": "no-such-link",
            "owner_token": home.access_token(self.owner)[1],
        }

    def take_scim_token(self) -> None:
        run(
            self.home,
            "delete from scim_tokens where organization_id = (select id from accounts where name = :name)",
            name=self.organization,
        )

    def give_scim_token(self) -> None:
        """Have the token be the one that it was in the beginning."""
        self.take_scim_token()
        run(
            self.home,
            """insert into scim_tokens (organization_id, secret_sha256, created_by, created_at)
            select id, :secret_sha256, 'test', 1 from accounts where name = :name""",
            name=self.organization,
            secret_sha256=hashlib.sha256(self.scim_secret.encode()).hexdigest(),
        )

    def forget_invitee(self) -> None:
        """Whoever is invited has neither an invite any more, nor come in by one."""
        for table in ("organization_members", "invites"):
            run(
                self.home,
                f"delete from {table} where account_id = (select id from accounts where name = :name)",
                name=self.invitee.name,
            )


class Scene:
    """A place with everybody who may ask for something there, and another place that has nothing to do with it."""

    def __init__(self, home: Home, *, is_private: bool) -> None:
        self.home = home
        self.is_private = is_private
        self.here = Place(home, is_private=is_private)
        self.there = Place(home, is_private=is_private)
        self._others: dict[str, Callable[[], Caller]] = {
            PROVIDERS[0]: lambda: self._provider(self.here),
            PROVIDERS[1]: lambda: self._provider(self.there),
            "revoked token": self._revoked,
            **{who: functools.partial(self._organization, who) for who in ORGANIZATION_TOKENS},
        }
        self.callers = {who: self._caller(who) for who in WHO}
        self._deactivate(self.callers["deactivated user"])

    def snapshot(self) -> tuple[int, str]:
        """How many events these accounts have but for logins, and how much of everything there is."""
        settle(self.home)
        events = """select count(*) from audit_events where action not like 'user.login%'
            and account_id >= (select id from accounts where name = :first)"""
        counted = value(self.home, int, events, first=self.here.owner.name)
        return counted, value(self.home, str, f"select {_SNAPSHOT}")

    def _caller(self, who: str) -> Caller:
        home, name = self.home, self.here.repository
        if who == "anonymous":
            return Caller(self.here.owner, home.anonymous, home.anonymous)
        if who == "owner":
            return self.here.caller
        if who in SCOPES:
            return self._with(self.here.owner, home.access_token(self.here.owner, SCOPES[who])[1])
        if who in self._others:
            return self._others[who]()
        user = self.here.invitee if who == "invitee" else home.user(is_site_admin=who == "site administrator")
        self._give_role(who, user, name)
        return self._with(user)

    def _with(self, user: User, secret: str | None = None) -> Caller:
        hub, registry = self.home.hub(user, secret), self.home.registry(user, self.here.repository, secret=secret)
        return Caller(user if secret is None else User(user.name, secret), hub, registry)

    def _organization(self, who: str) -> Caller:
        organization = self.here.organization
        resources = [Resource("TYPE_ORG", organization, ["scope-report-read", "scope-cloud-connect"])]
        if who == ALL_SCOPES:
            repositories = sorted(grants.REPOSITORY_SCOPES)
            resources = [
                Resource("TYPE_ORG", organization, sorted(grants.ORGANIZATION_SCOPES)),
                Resource("TYPE_REPO", f"{organization}/*", repositories),
                Resource("TYPE_REPO", "*/*/public", repositories),
            ]
        secret = self.home.organization_token(organization, self.here.owner, *resources)[1]
        return self._with(User(organization, secret), secret)

    def _provider(self, place: Place) -> Caller:
        """The SCIM token as a bearer token at every door."""
        client = self.home.client(authorization=f"Bearer {place.scim_secret}")
        return Caller(User("scim", place.scim_secret), client, client)

    def _give_role(self, who: str, user: User, name: RepositoryName) -> None:
        if who in ROLES:
            self.home.member(name.namespace, user, ROLES[who])
        elif who in TEAMS:
            self.home.member(name.namespace, user, OrganizationRole.MEMBER)
            self.home.team_member(name, user, TEAMS[who])
        elif who == "collaborator":
            self.home.collaborator(name, user, Permission.WRITE)
        elif who == "deactivated user":
            self.home.member(name.namespace, user, OrganizationRole.OWNER)

    def _revoked(self) -> Caller:
        token, secret = self.home.access_token(self.here.owner)
        caller = self._with(self.here.owner, secret)
        assert self.here.hub.delete(f"/v2/access-tokens/{token.uuid}").status_code == 202
        return caller

    def _deactivate(self, caller: Caller) -> None:
        """As the operators' command does, which the server hears of within a second."""
        self.home.deactivate(caller.user)
        deadline = time.monotonic() + HEARD_WITHIN_S
        while caller.hub.get("/v2/user/invites").status_code != 401:
            assert time.monotonic() < deadline
            time.sleep(0.05)
