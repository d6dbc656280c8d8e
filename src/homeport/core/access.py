"""Who may do what: the one way from a name to a record.

Allowed is what a role grants, cut down to what the actor's token carries (its *ceiling*). What a stranger may not
see does not exist for them. Decision 15 (docs/decisions/0015-grants.md) says what tokens carry, and why so.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Self

import msgspec

from homeport.addresses import Networks, parse_address
from homeport.errors import (
    ActionBeyondToken,
    ActionDenied,
    ImageRestricted,
    NamespaceUnknown,
    NotAuthenticated,
    OrganizationUnknown,
    RepositoryUnknown,
    TokenNotAllowed,
)
from homeport.names import RepositoryName
from homeport.storage.db import orgs as org_rows
from homeport.storage.db import repositories as rows
from homeport.storage.db import search as search_rows
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import (
    AccessToken,
    Account,
    AccountKind,
    Namespace,
    Organization,
    OrganizationRole,
    Permission,
    Repository,
)
from homeport.storage.db.repositories import ALL_PLACES, EVERYWHERE, NO_PLACES, Places, Reach, Sight
from homeport.storage.db.search import View


class Action(StrEnum):
    """What can be done to a repository (`CREATE`: in a namespace). The first three are the registry's words."""

    PULL = "pull"
    PUSH = "push"
    DELETE = "delete"
    """Take manifests, blobs and tags away through the registry."""

    CREATE = "create"
    LIST = "list"
    """Find it in lists and searches."""

    READ = "read"
    """See what is told of it: its description, its size, its stars."""

    READ_TAGS = "read tags"
    DELETE_TAGS = "delete tags"
    DESCRIBE = "describe"
    """Write its descriptions and categories."""

    EDIT = "edit"
    """Change its privacy and whether it is active."""

    REMOVE = "remove"
    """Delete the repository."""

    SET_RULES = "set rules"
    """Say which of its tags are immutable."""

    READ_WEBHOOKS = "read webhooks"
    EDIT_WEBHOOKS = "edit webhooks"
    DELETE_WEBHOOKS = "delete webhooks"
    READ_TEAMS = "read teams"
    EDIT_TEAMS = "edit teams"
    DELETE_TEAMS = "delete teams"
    ADMIN = "admin"
    """All else that administrators may: say who collaborates."""

    STAR = "star"
    """Takes no role but one that pulls, and an account."""


ALL_ACTIONS = frozenset(Action)

READ_ACTIONS = frozenset({Action.PULL, Action.LIST, Action.READ, Action.READ_TAGS})
"""What comes with a pull."""

PERMISSION_ACTIONS = {
    Permission.READ: READ_ACTIONS,
    Permission.WRITE: READ_ACTIONS | {Action.PUSH},
    Permission.ADMIN: ALL_ACTIONS - {Action.CREATE, Action.STAR},
}

# What an account needs no role for where it may pull.
_WITHOUT_ROLE = frozenset({Action.STAR})

# A member of an organization sees no private repository by that alone: teams give that.
ROLE_ACTIONS: dict[OrganizationRole, frozenset[Action]] = {
    OrganizationRole.OWNER: ALL_ACTIONS,
    OrganizationRole.EDITOR: ALL_ACTIONS,
    OrganizationRole.MEMBER: frozenset(),
}


class OrganizationAction(StrEnum):
    """What can be done with an organization itself."""

    READ_MEMBERS = "read members"
    EXPORT_MEMBERS = "export members"
    EDIT_MEMBERS = "edit members"
    READ_INVITES = "read invites"
    EDIT_INVITES = "edit invites"
    READ_TEAMS = "read teams"
    EDIT_TEAMS = "edit teams"
    READ_LOG = "read the audit log"
    READ_REGISTRY_ACCESS = "read registry access"
    EDIT_REGISTRY_ACCESS = "edit registry access"
    LEAVE = "leave"
    """Stop being a member of it."""

    MANAGE = "manage"
    """Change all else: who owns it, its settings, its tokens."""


ALL_ORGANIZATION_ACTIONS = frozenset(OrganizationAction)

SEEN_BY_MEMBERS = frozenset({OrganizationAction.READ_MEMBERS, OrganizationAction.READ_TEAMS})

ROLE_ORGANIZATION_ACTIONS: dict[OrganizationRole, frozenset[OrganizationAction]] = {
    OrganizationRole.OWNER: ALL_ORGANIZATION_ACTIONS,
    OrganizationRole.EDITOR: SEEN_BY_MEMBERS | {OrganizationAction.LEAVE},
    OrganizationRole.MEMBER: SEEN_BY_MEMBERS | {OrganizationAction.LEAVE},
}


class Scope(StrEnum):
    """Docker's scopes of a personal access token; each holds those after it."""

    ADMIN = "repo:admin"
    WRITE = "repo:write"
    READ = "repo:read"
    PUBLIC_READ = "repo:public_read"


class Target(msgspec.Struct, frozen=True):
    """The repository that something is to be done to; without an id where it is yet to be made."""

    name: RepositoryName
    namespace_id: int
    repository_id: int | None
    is_private: bool

    @classmethod
    def of(cls, repository: Repository) -> "Target":
        name = RepositoryName(repository.namespace, repository.name)
        return cls(name, repository.namespace_id, repository.id, repository.is_private)


class Grant(msgspec.Struct, frozen=True):
    """Actions on repositories: all that the conditions let through; without any, all there are.

    Conditions are ids: another repository or namespace of the same name is not meant. A registry token names its
    repositories besides, for a push may have yet to make them. `prefix` is how the name begins, without its namespace.
    """

    actions: frozenset[Action]
    repository: RepositoryName | None = None
    repository_id: int | None = None
    namespace_id: int | None = None
    prefix: str = ""
    is_public_only: bool = False

    def covers(self, target: Target) -> bool:
        if self.is_public_only and target.is_private:
            return False
        if self.repository_id is not None and self.repository_id != target.repository_id:
            return False
        if self.namespace_id is not None and self.namespace_id != target.namespace_id:
            return False
        if self.repository is not None and self.repository != target.name:
            return False
        return target.name.name.startswith(self.prefix)

    def holds(self, other: "Grant") -> bool:
        """Whether it covers all that another one does, which names a single repository with its namespace and name."""
        if self.is_public_only and not other.is_public_only:
            return False
        if self.repository_id is not None and self.repository_id != other.repository_id:
            return False
        if self.namespace_id is not None and self.namespace_id != other.namespace_id:
            return False
        return self.repository is None and other.prefix.startswith(self.prefix)

    @property
    def is_everywhere(self) -> bool:
        """Whether it covers all repositories, or all public ones."""
        return self.repository is None and self.repository_id is None and self.namespace_id is None and not self.prefix


class Ceiling(msgspec.Struct, frozen=True):
    """The most that a token allows. Each layer cuts down what the one before it left: a registry token carries the
    layer of the credential it was exchanged for, and one of its own.
    """

    layers: tuple[tuple[Grant, ...], ...] = ()
    organization_actions: frozenset[OrganizationAction] = ALL_ORGANIZATION_ACTIONS

    def allows(self, target: Target) -> frozenset[Action]:
        allowed = ALL_ACTIONS
        for layer in self.layers:
            allowed &= frozenset().union(*(grant.actions for grant in layer if grant.covers(target)))
        return allowed

    def reaches(self, *actions: Action) -> list[Reach]:
        """Where one of some actions is allowed, as statements take it: a repository has to be within each."""
        layers = ([grant for grant in layer if not grant.actions.isdisjoint(actions)] for layer in self.layers)
        reaches = (
            Reach(_places(layer), _places(grant for grant in layer if not grant.is_public_only)) for layer in layers
        )
        return [reach for reach in reaches if reach != EVERYWHERE]

    def lowered(self, *grants: Grant) -> Self:
        return msgspec.structs.replace(self, layers=(*self.layers, grants))

    def within(self, other: "Ceiling") -> Self:
        """What both allow."""
        actions = self.organization_actions & other.organization_actions
        return msgspec.structs.replace(self, layers=(*other.layers, *self.layers), organization_actions=actions)


def _places(grants: Iterable[Grant]) -> Places:
    """What grants cover, private or not. What a registry token is for by its name alone is no place: it may not be
    there yet.
    """
    ids, namespaces, prefixes = set(), set(), set()
    for grant in grants:
        if grant.is_everywhere:
            return ALL_PLACES
        if grant.repository_id is not None:
            ids.add(grant.repository_id)
        elif grant.namespace_id is not None and grant.prefix:
            prefixes.add((grant.namespace_id, grant.prefix))
        elif grant.namespace_id is not None:
            namespaces.add(grant.namespace_id)
    return Places(tuple(sorted(ids)), tuple(sorted(namespaces)), tuple(sorted(prefixes)))


NO_CEILING = Ceiling()
"""A password's: all that the account may."""


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who acts, through what, from where."""

    account_id: int | None = None
    account_uuid: str = ""
    name: str = ""
    is_site_admin: bool = False
    ceiling: Ceiling = NO_CEILING
    token: AccessToken | None = None
    """The access token that the actor came with, or that the bearer token was made from."""
    networks: Sequence[Networks] = ()
    """Where their token may be used from: within each."""
    is_organization: bool = False
    """By an access token of its own; an organization has no other way to act."""
    session_id: str = ""
    """The login that the actor's bearer token came from."""
    address: str = ""
    user_agent: str = ""

    @property
    def is_anonymous(self) -> bool:
        return self.account_id is None and not self.is_site_admin

    def is_welcome_from(self, address: str) -> bool:
        """Whether their token may be used from an address."""
        if not self.networks:
            return True
        found = parse_address(address)
        return found is not None and all(found in networks for networks in self.networks)

    @property
    def token_id(self) -> int | None:
        return self.token.id if self.token else None

    @property
    def token_kind(self) -> str:
        return "organization access token" if self.is_organization else "personal access token"

    @classmethod
    def of(
        cls,
        account: Account,
        *,
        ceiling: Ceiling = NO_CEILING,
        token: AccessToken | None = None,
        networks: Sequence[Networks] = (),
        session_id: str = "",
    ) -> "Actor":
        return cls(
            account_id=account.id,
            account_uuid=account.uuid,
            name=account.name,
            is_site_admin=account.is_site_admin,
            ceiling=ceiling,
            token=token,
            networks=networks,
            is_organization=account.kind is AccountKind.ORGANIZATION,
            session_id=session_id,
        )


ANONYMOUS = Actor()

OPERATOR = Actor(name="homeport", is_site_admin=True)
"""Whoever may run the operators' commands. No account: it stands in audit logs by its name alone."""


def allowed_actions(actor: Actor, repository: Repository) -> frozenset[Action]:
    """What roles and grants give the actor on a repository, cut down to what their token carries."""
    return granted_actions(actor, repository) & actor.ceiling.allows(Target.of(repository))


def granted_actions(actor: Actor, repository: Repository) -> frozenset[Action]:
    """What roles and grants give the actor on a repository, whatever token they come with."""
    granted: frozenset[Action] = frozenset()
    if actor.is_site_admin or actor.account_id == repository.namespace_id:
        granted = ALL_ACTIONS
    if repository.role is not None:
        granted |= ROLE_ACTIONS[repository.role]
    if repository.collaborator_permission is not None:
        granted |= PERMISSION_ACTIONS[repository.collaborator_permission]
    if repository.team_permission is not None and repository.role is not None:
        granted |= PERMISSION_ACTIONS[repository.team_permission]
    if not repository.is_private:
        granted |= READ_ACTIONS
    if Action.PULL in granted and actor.account_id is not None:
        granted |= _WITHOUT_ROLE
    return granted


async def access_repository(tx: Transaction, actor: Actor, name: RepositoryName, action: Action) -> Repository:
    """The repository, if the actor may do `action` to it.

    Raises:
        RepositoryUnknown: not there, or the actor may do nothing to it. One error for both: telling them apart would
            tell strangers which private names exist.
        ActionDenied: the actor may know of it, but not do this; ActionBeyondToken if that is for their token alone.
        ImageRestricted: an organization of the actor's does not let its members pull it.
        NotAuthenticated: an anonymous actor may know of it, but would have to say who they are.
    """
    repository, allowed = await _see(tx, actor, name)
    _check(actor, repository, action, allowed)
    return repository


def check_action(actor: Actor, repository: Repository, action: Action) -> None:
    """Whether the actor may do one thing more to a repository that they have been let into.

    Raises:
        ActionDenied, ImageRestricted: as `access_repository`.
    """
    _check(actor, repository, action, allowed_actions(actor, repository))


def _check(actor: Actor, repository: Repository, action: Action, allowed: frozenset[Action]) -> None:
    name = RepositoryName(repository.namespace, repository.name)
    if action not in allowed:
        if actor.is_anonymous:
            raise NotAuthenticated
        if actor.token is not None and action in granted_actions(actor, repository):
            raise ActionBeyondToken(actor.token_kind, action, name)
        raise ActionDenied(action, name)
    if action is Action.PULL:
        _refuse_restricted(actor, repository)


async def access_repository_head(tx: Transaction, actor: Actor, name: RepositoryName) -> Repository:
    """The repository, if the actor may ask whether something is in it.

    A push asks that before it sends anything. So who may push here gets an answer although an organization of theirs
    does not let them pull, or their token does not; for everybody else this is a pull.

    Raises:
        RepositoryUnknown, ActionDenied, ImageRestricted: as `access_repository`.
    """
    repository, allowed = await _see(tx, actor, name)
    if Action.PUSH not in allowed:
        _check(actor, repository, Action.PULL, allowed)
    return repository


class NamespaceView(msgspec.Struct, frozen=True):
    """A namespace, with which of its repositories an actor may know of: what their roles show, and their token."""

    namespace: Namespace
    sight: Sight
    reaches: Sequence[Reach]


async def see_namespace(tx: Transaction, actor: Actor, name: str) -> NamespaceView | None:
    """A namespace as the actor may know of it; None where that is nothing at all.

    What a list shows is what `access_repository` allows `Action.LIST` on.
    """
    reaches = actor.ceiling.reaches(Action.LIST)
    namespace = await org_rows.get_namespace(tx, name, actor_id=actor.account_id)
    if namespace is None or not namespace.is_active:
        return None
    within = [reach.in_namespace(namespace.id) for reach in reaches]
    return NamespaceView(namespace, _sight_of(actor, namespace, within), within)


def _sight_of(actor: Actor, namespace: Namespace, reaches: Sequence[Reach]) -> Sight:
    if _reaches_nothing_private(reaches):
        return Sight.PUBLIC
    if actor.is_site_admin or actor.account_id == namespace.id:
        return Sight.ALL
    if namespace.role is not None and Action.LIST in ROLE_ACTIONS[namespace.role]:
        return Sight.ALL
    return Sight.PUBLIC if actor.is_anonymous else Sight.OPENED


def _reaches_nothing_private(reaches: Sequence[Reach]) -> bool:
    return any(reach.private == NO_PLACES for reach in reaches)


async def see_everywhere(tx: Transaction, actor: Actor) -> View:
    """Which repositories of all namespaces the actor may know of.

    What a search finds is what `access_repository` allows `Action.LIST` on.
    """
    reaches = actor.ceiling.reaches(Action.LIST)
    if actor.is_anonymous or _reaches_nothing_private(reaches):
        return View(Sight.PUBLIC, reaches=reaches)
    if actor.is_site_admin or actor.account_id is None:
        return View(Sight.ALL, reaches=reaches)
    return View(Sight.OPENED, actor.account_id, await list_own_namespaces(tx, actor.account_id), reaches)


async def list_own_namespaces(tx: Transaction, account_id: int) -> list[int]:
    """Ids of the namespaces in which an account may list all: its own, and by its roles."""
    roles = [role for role, actions in ROLE_ACTIONS.items() if Action.LIST in actions]
    of_member = await search_rows.list_namespace_ids_of_member(tx, account_id=account_id, roles=roles)
    return [account_id, *of_member]


async def _see(tx: Transaction, actor: Actor, name: RepositoryName) -> tuple[Repository, frozenset[Action]]:
    repository = await rows.get(tx, name, actor_id=actor.account_id)
    if repository is None:
        raise RepositoryUnknown(name)
    allowed = allowed_actions(actor, repository)
    # Who may make one here knows no more of those that are there.
    if allowed <= {Action.CREATE}:
        raise RepositoryUnknown(name)
    return repository, allowed


def _refuse_restricted(actor: Actor, repository: Repository) -> None:
    if is_restricted(actor, repository):
        name = RepositoryName(repository.namespace, repository.name)
        raise ImageRestricted(name, repository.restricting_organization or "")


def is_restricted(actor: Actor, repository: Repository) -> bool:
    """Whether an organization of the actor's keeps them from pulling what roles and grants would let them pull.

    What belongs to any organization of theirs they may pull. Site administrators answer to no organization.
    """
    return repository.restricting_organization is not None and repository.role is None and not actor.is_site_admin


async def access_namespace(tx: Transaction, actor: Actor, name: RepositoryName) -> Namespace:
    """The namespace, if the actor may create the repository `name` in it.

    Raises:
        NamespaceUnknown: no such account, or it is shut.
        ActionDenied, NotAuthenticated: the actor may not create there.
    """
    if actor.is_anonymous:
        raise NotAuthenticated
    namespace = await org_rows.get_namespace(tx, name.namespace, actor_id=actor.account_id)
    if namespace is None or not namespace.is_active:
        raise NamespaceUnknown(name.namespace)
    may_by_role = (
        actor.is_site_admin
        or namespace.id == actor.account_id
        or (
            namespace.kind is AccountKind.ORGANIZATION
            and namespace.role is not None
            and Action.CREATE in ROLE_ACTIONS[namespace.role]
        )
    )
    if not may_by_role:
        raise ActionDenied(Action.CREATE, name)
    # A token that may only reach public repositories may not make one either.
    if Action.CREATE not in actor.ceiling.allows(Target(name, namespace.id, None, is_private=True)):
        if actor.token is not None:
            raise ActionBeyondToken(actor.token_kind, Action.CREATE, name)
        raise ActionDenied(Action.CREATE, name)
    return namespace


async def access_organization(tx: Transaction, actor: Actor, name: str, action: OrganizationAction) -> Organization:
    """The organization, if the actor may do `action` with it. That there is one of that name is no secret.

    A personal access token reads what its account's role shows; it changes nothing and sees no more than any member.
    An organization's own does what its scopes say.

    Raises:
        NotAuthenticated: who nobody knows sees no members.
        OrganizationUnknown: no such organization, or it is shut.
        TokenNotAllowed: this takes a password's session.
        ActionDenied: the actor's role does not allow it.
    """
    if actor.is_anonymous:
        raise NotAuthenticated
    organization = await org_rows.get(tx, name.lower(), actor_id=actor.account_id)
    if organization is None:
        raise OrganizationUnknown(name)
    if action not in actor.ceiling.organization_actions:
        raise TokenNotAllowed(actor.token_kind)
    if action not in granted_organization_actions(actor, organization):
        raise ActionDenied(action, f"organization {organization.name}")
    return organization


async def check_manager(
    tx: Transaction,
    actor: Actor,
    account: Account,
    what: str,
    *,
    action: OrganizationAction = OrganizationAction.MANAGE,
) -> None:
    """Let pass who may read what is nobody else's business of an account: of an organization who may do `action`, a
    user for themselves, and site administrators, signed in with a password. `what` is called so where it is refused.

    Raises:
        NotAuthenticated, TokenNotAllowed, ActionDenied
        OrganizationUnknown: as `access_organization`.
    """
    if actor.is_anonymous:
        raise NotAuthenticated
    if account.kind is AccountKind.ORGANIZATION:
        await access_organization(tx, actor, account.name, action)
        return
    refuse_token(actor)
    if not actor.is_site_admin and actor.account_id != account.id:
        raise ActionDenied("read", f"{what} of {account.name}")


def check_site_admin(actor: Actor, action: str, what: object) -> None:
    """Let pass who runs the site, signed in with a password.

    Raises:
        NotAuthenticated, TokenNotAllowed, ActionDenied
    """
    if actor.is_anonymous:
        raise NotAuthenticated
    refuse_token(actor)
    if not actor.is_site_admin:
        raise ActionDenied(action, what)


def refuse_token(actor: Actor) -> None:
    """Let pass who has signed in with a password. Raises: TokenNotAllowed."""
    if actor.token is not None:
        raise TokenNotAllowed(actor.token_kind)


def check_makes_owners(actor: Actor) -> None:
    """Let pass who may say who owns an organization: otherwise a token could make somebody who makes others.

    Raises:
        TokenNotAllowed
    """
    if OrganizationAction.MANAGE not in actor.ceiling.organization_actions:
        raise TokenNotAllowed(actor.token_kind)


def granted_organization_actions(actor: Actor, organization: Organization) -> frozenset[OrganizationAction]:
    """What the actor's role gives them, whatever token they come with; an organization may all with itself."""
    if actor.is_site_admin or actor.account_id == organization.id:
        return ALL_ORGANIZATION_ACTIONS
    if organization.role is None:
        return frozenset()
    return ROLE_ORGANIZATION_ACTIONS[organization.role]


def sees_emails(actor: Actor, organization: Organization) -> bool:
    """Whether the actor is shown the e-mail addresses of an organization's members: owners are, by password."""
    return actor.token is None and OrganizationAction.MANAGE in granted_organization_actions(actor, organization)
