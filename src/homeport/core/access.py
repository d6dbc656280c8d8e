"""Who may do what: the one way from a name to a record.

Allowed is what a role grants, cut down to what the actor's token carries (its *ceiling*). What a stranger may not
see does not exist for them.
"""

from enum import StrEnum
from typing import Self

import msgspec

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
from homeport.storage.db.repositories import Sight
from homeport.storage.db.search import View


class Action(StrEnum):
    """What can be done to a repository (`CREATE`: in a namespace). `STAR` takes no permission but a pull's, and an
    account.
    """

    PULL = "pull"
    PUSH = "push"
    DELETE = "delete"
    CREATE = "create"
    ADMIN = "admin"
    STAR = "star"


ALL_ACTIONS = frozenset(Action)

PERMISSION_ACTIONS = {
    Permission.READ: frozenset({Action.PULL}),
    Permission.WRITE: frozenset({Action.PULL, Action.PUSH}),
    Permission.ADMIN: frozenset({Action.PULL, Action.PUSH, Action.DELETE, Action.ADMIN}),
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

    READ = "read"
    """See its members and teams."""

    LEAVE = "leave"
    """Stop being a member of it."""

    MANAGE = "manage"
    """Change them, its settings and its invites, and read its audit log."""


ROLE_ORGANIZATION_ACTIONS: dict[OrganizationRole, frozenset[OrganizationAction]] = {
    OrganizationRole.OWNER: frozenset(OrganizationAction),
    OrganizationRole.EDITOR: frozenset({OrganizationAction.READ, OrganizationAction.LEAVE}),
    OrganizationRole.MEMBER: frozenset({OrganizationAction.READ, OrganizationAction.LEAVE}),
}


class Scope(StrEnum):
    """Docker's scopes of a personal access token; each holds those after it."""

    ADMIN = "repo:admin"
    WRITE = "repo:write"
    READ = "repo:read"
    PUBLIC_READ = "repo:public_read"


class Grant(msgspec.Struct, frozen=True):
    """Actions on the repositories of one name, or on all of them.

    A grant that names the repository it was given for (`repository_id`) does not outlive it: another one of the
    same name is not meant.
    """

    actions: frozenset[Action]
    repository: RepositoryName | None = None
    repository_id: int | None = None
    is_public_only: bool = False

    def covers(self, name: RepositoryName, repository_id: int | None, *, is_private: bool) -> bool:
        if self.is_public_only and is_private:
            return False
        if self.repository_id is not None and self.repository_id != repository_id:
            return False
        return self.repository is None or self.repository == name

    def covers_all(self, *, is_private: bool) -> bool:
        """Whether it covers every repository that is private, or every one that is not."""
        if self.is_public_only and is_private:
            return False
        return self.repository is None and self.repository_id is None


SCOPE_GRANTS = {
    Scope.ADMIN: Grant(ALL_ACTIONS),
    Scope.WRITE: Grant(frozenset({Action.PULL, Action.PUSH, Action.CREATE, Action.STAR})),
    Scope.READ: Grant(frozenset({Action.PULL})),
    Scope.PUBLIC_READ: Grant(frozenset({Action.PULL}), is_public_only=True),
}


class Ceiling(msgspec.Struct, frozen=True):
    """The most that a token allows. Each layer cuts down what the one before it left: a registry token carries the
    layer of the credential it was exchanged for, and one of its own.
    """

    layers: tuple[tuple[Grant, ...], ...] = ()

    def allows(self, name: RepositoryName, repository_id: int | None, *, is_private: bool) -> frozenset[Action]:
        allowed = ALL_ACTIONS
        for layer in self.layers:
            covering = [grant.actions for grant in layer if grant.covers(name, repository_id, is_private=is_private)]
            allowed &= frozenset().union(*covering)
        return allowed

    def allows_everywhere(self, action: Action, *, is_private: bool) -> bool:
        """Whether the action is allowed on whatever repository: grants for one of them say nothing of that."""
        return all(
            any(action in grant.actions and grant.covers_all(is_private=is_private) for grant in layer)
            for layer in self.layers
        )

    def lowered(self, *grants: Grant) -> Self:
        return type(self)((*self.layers, grants))


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
    """The personal access token that the actor came with, or that the bearer token was made from."""
    session_id: str = ""
    """The login that the actor's bearer token came from."""
    address: str = ""
    user_agent: str = ""

    @property
    def is_anonymous(self) -> bool:
        return self.account_id is None and not self.is_site_admin

    @property
    def token_id(self) -> int | None:
        return self.token.id if self.token else None

    @classmethod
    def of(
        cls,
        account: Account,
        *,
        ceiling: Ceiling = NO_CEILING,
        token: AccessToken | None = None,
        session_id: str = "",
    ) -> "Actor":
        return cls(
            account_id=account.id,
            account_uuid=account.uuid,
            name=account.name,
            is_site_admin=account.is_site_admin,
            ceiling=ceiling,
            token=token,
            session_id=session_id,
        )


ANONYMOUS = Actor()

OPERATOR = Actor(name="homeport", is_site_admin=True)
"""Whoever may run the operators' commands. No account: it stands in audit logs by its name alone."""


def allowed_actions(actor: Actor, repository: Repository) -> frozenset[Action]:
    """What roles and grants give the actor on a repository, cut down to what their token carries."""
    name = RepositoryName(repository.namespace, repository.name)
    carried = actor.ceiling.allows(name, repository.id, is_private=repository.is_private)
    return granted_actions(actor, repository) & carried


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
        granted |= {Action.PULL}
    if Action.PULL in granted and actor.account_id is not None:
        granted |= _WITHOUT_ROLE
    return granted


async def access_repository(tx: Transaction, actor: Actor, name: RepositoryName, action: Action) -> Repository:
    """The repository, if the actor may do `action` to it.

    Raises:
        RepositoryUnknown: not there, or the actor may not even pull. One error for both: telling them apart would
            tell strangers which private names exist.
        ActionDenied: the actor may see it, but not do this; ActionBeyondToken if that is for their token alone.
        ImageRestricted: an organization of the actor's does not let its members pull it.
        NotAuthenticated: an anonymous actor may see it, but would have to say who they are.
    """
    repository, allowed = await _see(tx, actor, name)
    if action not in allowed:
        if actor.is_anonymous:
            raise NotAuthenticated
        if actor.token is not None and action in granted_actions(actor, repository):
            raise ActionBeyondToken(action, name)
        raise ActionDenied(action, name)
    if action is Action.PULL:
        _refuse_restricted(actor, repository)
    return repository


async def access_repository_head(tx: Transaction, actor: Actor, name: RepositoryName) -> Repository:
    """The repository, if the actor may ask whether something is in it.

    A push asks that before it sends anything. So who may push here gets an answer although an organization of theirs
    does not let them pull; for everybody else this is a pull.

    Raises:
        RepositoryUnknown, ImageRestricted: as `access_repository`.
    """
    repository, allowed = await _see(tx, actor, name)
    if Action.PUSH not in allowed:
        _refuse_restricted(actor, repository)
    return repository


async def see_repository(tx: Transaction, actor: Actor, name: RepositoryName) -> Repository:
    """The repository, if the actor may know of it: for what a page shows of it, not for what is in it.

    Raises:
        RepositoryUnknown: as `access_repository`.
    """
    repository, _ = await _see(tx, actor, name)
    return repository


async def see_namespace(tx: Transaction, actor: Actor, name: str) -> tuple[Namespace, Sight] | None:
    """A namespace, with which of its repositories the actor may know of; None where that is none at all.

    What a list shows is what `see_repository` lets one see, but for tokens that name single repositories.
    """
    namespace = await org_rows.get_namespace(tx, name, actor_id=actor.account_id)
    if namespace is None or not namespace.is_active:
        return None
    if not actor.ceiling.allows_everywhere(Action.PULL, is_private=False):
        return None
    return namespace, _sight_of(actor, namespace)


def _sight_of(actor: Actor, namespace: Namespace) -> Sight:
    if not actor.ceiling.allows_everywhere(Action.PULL, is_private=True):
        return Sight.PUBLIC
    if actor.is_site_admin or actor.account_id == namespace.id:
        return Sight.ALL
    if namespace.role is not None and Action.PULL in ROLE_ACTIONS[namespace.role]:
        return Sight.ALL
    return Sight.PUBLIC if actor.is_anonymous else Sight.OPENED


async def see_everywhere(tx: Transaction, actor: Actor) -> View | None:
    """Which repositories of all namespaces the actor may know of; None where that is none at all.

    What a search finds is what `see_repository` lets one see, but for tokens that name single repositories.
    """
    if not actor.ceiling.allows_everywhere(Action.PULL, is_private=False):
        return None
    if actor.is_anonymous or not actor.ceiling.allows_everywhere(Action.PULL, is_private=True):
        return View(Sight.PUBLIC)
    if actor.is_site_admin or actor.account_id is None:
        return View(Sight.ALL)
    roles = [role for role, actions in ROLE_ACTIONS.items() if Action.PULL in actions]
    of_member = await search_rows.list_namespace_ids_of_member(tx, account_id=actor.account_id, roles=roles)
    return View(Sight.OPENED, actor.account_id, [actor.account_id, *of_member])


async def _see(tx: Transaction, actor: Actor, name: RepositoryName) -> tuple[Repository, frozenset[Action]]:
    repository = await rows.get(tx, name, actor_id=actor.account_id)
    if repository is None:
        raise RepositoryUnknown(name)
    allowed = allowed_actions(actor, repository)
    if Action.PULL not in allowed:
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
    if Action.CREATE not in actor.ceiling.allows(name, None, is_private=True):
        raise (ActionDenied if actor.token is None else ActionBeyondToken)(Action.CREATE, name)
    return namespace


async def access_organization(tx: Transaction, actor: Actor, name: str, action: OrganizationAction) -> Organization:
    """The organization, if the actor may do `action` with it. That there is one of that name is no secret.

    A personal access token reads what its account's role shows; it changes nothing and sees no more than any member.

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
    if actor.token is not None and action is not OrganizationAction.READ:
        raise TokenNotAllowed("personal access token")
    if action not in allowed_organization_actions(actor, organization):
        raise ActionDenied(action, f"organization {organization.name}")
    return organization


async def check_manager(tx: Transaction, actor: Actor, account: Account, what: str) -> None:
    """Let pass who may read what is nobody else's business of an account: the owners of an organization, a user for
    themselves, and site administrators, signed in with a password. `what` is called so where it is refused.

    Raises:
        NotAuthenticated, TokenNotAllowed, ActionDenied
        OrganizationUnknown: as `access_organization`.
    """
    if actor.is_anonymous:
        raise NotAuthenticated
    if account.kind is AccountKind.ORGANIZATION:
        await access_organization(tx, actor, account.name, OrganizationAction.MANAGE)
    elif actor.token is not None:
        raise TokenNotAllowed("personal access token")
    elif not actor.is_site_admin and actor.account_id != account.id:
        raise ActionDenied("read", f"{what} of {account.name}")


def check_site_admin(actor: Actor, action: str, what: object) -> None:
    """Let pass who runs the site, signed in with a password.

    Raises:
        NotAuthenticated, TokenNotAllowed, ActionDenied
    """
    if actor.is_anonymous:
        raise NotAuthenticated
    if actor.token is not None:
        raise TokenNotAllowed("personal access token")
    if not actor.is_site_admin:
        raise ActionDenied(action, what)


def allowed_organization_actions(actor: Actor, organization: Organization) -> frozenset[OrganizationAction]:
    """What the actor's role gives them; a token's ceiling is of repositories, and cuts nothing here."""
    if actor.is_site_admin:
        return frozenset(OrganizationAction)
    if organization.role is None:
        return frozenset()
    return ROLE_ORGANIZATION_ACTIONS[organization.role]


def sees_emails(actor: Actor, organization: Organization) -> bool:
    """Whether the actor is shown the e-mail addresses of an organization's members: owners are, by password."""
    return actor.token is None and OrganizationAction.MANAGE in allowed_organization_actions(actor, organization)
