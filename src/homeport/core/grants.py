"""What tokens are given: words of clients, bound to what they name, and from there to grants.

A token's row holds its grants as JSON: each with the pattern and the words as they were sent, and the ids of what the
pattern named then. Clients are shown the former, access goes by the latter (`access.Grant`): a repository that is
deleted takes what was given on it along, another one of its name gets nothing, and one that is renamed keeps it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Self

import msgspec

from homeport.core.access import (
    ALL_ACTIONS,
    READ_ACTIONS,
    Action,
    Actor,
    Ceiling,
    Grant,
    OrganizationAction,
    Scope,
    allowed_actions,
)
from homeport.errors import FieldInvalid, RepositoryNameInvalid
from homeport.names import RepositoryName
from homeport.storage.db import accounts as account_rows
from homeport.storage.db import repositories as repository_rows
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import Organization, Repository

REPOSITORIES_LIMIT = 50
"""Patterns that one token may name."""

RESOURCES_LIMIT = 100
WORDS_LIMIT = 64
"""Scopes or verbs of one grant; there are not as many."""

EVERYTHING = "*/*"
EVERYTHING_PUBLIC = "*/*/public"

_EVERYTHING_WORDS = f"{EVERYTHING} or {EVERYTHING_PUBLIC}"

NO_ID = 0
"""What no row has: a grant without the id that it needs is for nothing."""

_PREFIX = re.compile(r"(?:[a-z0-9][a-z0-9._-]{0,252})?")


class Pattern(msgspec.Struct, frozen=True):
    """Which repositories are meant: one, those of a namespace whose names begin so, all public ones, or all."""

    namespace: str = ""
    name: str = ""
    prefix: str = ""
    is_public_only: bool = False

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read `namespace/name`, `namespace/*`, `namespace/prefix*`, `*/*` or `*/*/public`; None if it is no such."""
        if text in (EVERYTHING, EVERYTHING_PUBLIC):
            return cls(is_public_only=text == EVERYTHING_PUBLIC)
        namespace, slash, name = text.partition("/")
        prefix = name.removesuffix("*")
        is_set = name != prefix
        try:
            if not slash or (is_set and not _PREFIX.fullmatch(prefix)):
                return None
            RepositoryName.parse(f"{namespace}/any" if is_set else text)
        except RepositoryNameInvalid:
            return None
        return cls(namespace, prefix=prefix) if is_set else cls(namespace, name)

    @property
    def repository(self) -> RepositoryName | None:
        """The one that is named; None where it is a set."""
        return RepositoryName(self.namespace, self.name) if self.name else None


class Given(msgspec.Struct, frozen=True, omit_defaults=True):
    """One grant as a token's row holds it. `path` and `words` are as they were sent; `type` is Docker's word for what
    the path names.
    """

    path: str
    words: list[str]
    type: str = ""
    namespace_id: int | None = None
    repository_id: int | None = None

    @property
    def pattern(self) -> Pattern:
        return Pattern.parse(self.path) or Pattern("nothing", "nothing")

    def bound(self, actions: frozenset[Action]) -> Grant:
        """Actions on what the path named when the token was made."""
        pattern = self.pattern
        if pattern.name:
            return Grant(actions, repository_id=self.repository_id or NO_ID)
        if pattern.namespace:
            return Grant(actions, namespace_id=self.namespace_id or NO_ID, prefix=pattern.prefix)
        return Grant(actions, is_public_only=pattern.is_public_only)


def decode(text: str | None) -> list[Given]:
    return msgspec.json.decode(text or "[]", type=list[Given])


def encode(given: Sequence[Given]) -> str:
    return msgspec.json.encode(given).decode()


# Docker's scopes of an organization's tokens. Each holds what the one that it names as lower holds.

_REPOSITORY: Mapping[str, tuple[frozenset[Action], str]] = {
    "scope-image-pull": (frozenset({Action.PULL}), ""),
    "scope-image-push": (frozenset({Action.PUSH}), "scope-image-pull"),
    "scope-image-delete": (frozenset({Action.DELETE}), "scope-image-push"),
    "scope-repository-read": (frozenset({Action.READ}), ""),
    "scope-repository-edit": (frozenset({Action.DESCRIBE, Action.EDIT, Action.STAR}), "scope-repository-read"),
    "scope-repository-admin": (frozenset({Action.REMOVE}), "scope-repository-edit"),
    "scope-tag-read": (frozenset({Action.READ_TAGS}), ""),
    "scope-tag-admin": (frozenset({Action.DELETE_TAGS}), "scope-tag-read"),
    "scope-webhook-read": (frozenset({Action.READ_WEBHOOKS}), ""),
    "scope-webhook-edit": (frozenset({Action.EDIT_WEBHOOKS}), "scope-webhook-read"),
    "scope-webhook-admin": (frozenset({Action.DELETE_WEBHOOKS}), "scope-webhook-edit"),
    "scope-repo-group-read": (frozenset({Action.READ_TEAMS}), ""),
    "scope-repo-group-edit": (frozenset({Action.EDIT_TEAMS}), "scope-repo-group-read"),
    "scope-repo-group-admin": (frozenset({Action.DELETE_TEAMS}), "scope-repo-group-edit"),
    "scope-repository-settings-admin": (frozenset({Action.SET_RULES}), ""),
}

_NAMESPACE: Mapping[str, frozenset[Action]] = {
    "scope-repository-create": frozenset({Action.CREATE}),
    "scope-repository-list": frozenset({Action.LIST}),
}

_ORGANIZATION: Mapping[str, tuple[frozenset[OrganizationAction], str]] = {
    "scope-member-read": (frozenset({OrganizationAction.READ_MEMBERS, OrganizationAction.EXPORT_MEMBERS}), ""),
    "scope-member-edit": (frozenset({OrganizationAction.EDIT_MEMBERS}), "scope-member-read"),
    "scope-invite-read": (frozenset({OrganizationAction.READ_INVITES}), ""),
    "scope-invite-edit": (frozenset({OrganizationAction.EDIT_INVITES}), "scope-invite-read"),
    "scope-group-read": (frozenset({OrganizationAction.READ_TEAMS}), ""),
    "scope-group-edit": (frozenset({OrganizationAction.EDIT_TEAMS}), "scope-group-read"),
    "scope-activity-read": (frozenset({OrganizationAction.READ_LOG}), ""),
    "scope-ram-read": (frozenset({OrganizationAction.READ_REGISTRY_ACCESS}), ""),
    "scope-ram-write": (frozenset({OrganizationAction.EDIT_REGISTRY_ACCESS}), "scope-ram-read"),
}

# Of what there is nothing here: they are kept, and open nothing.
_ELSEWHERE_ORGANIZATION = frozenset({"scope-siem_credentials-read", "scope-report-read", "scope-registry-usage-read"})
_PRODUCTS = frozenset(
    {
        "scope-cloud-connect",
        "scope-audit_events-read",
        "scope-governance-policy-read",
        "scope-governance-policy-write",
    }
)

_FORMER = {
    "repo-pull": "scope-image-pull",
    "repo-push": "scope-image-push",
    "image-pull": "scope-image-pull",
    "image-push": "scope-image-push",
}
"""What older documents call them."""

REPOSITORY_SCOPES = frozenset({*_REPOSITORY, *_FORMER, *_PRODUCTS})
ORGANIZATION_SCOPES = frozenset({*_NAMESPACE, *_ORGANIZATION, *_ELSEWHERE_ORGANIZATION, *_PRODUCTS})

TYPE_REPO = "TYPE_REPO"
TYPE_ORG = "TYPE_ORG"

_READS = frozenset({Action.PULL, Action.READ, Action.READ_TAGS})
"""The most that is given on all public repositories at once: an organization has such itself."""

_LISTED = Grant(frozenset({Action.LIST}), is_public_only=True)
"""Whatever an organization's token is given, lists show it what is public."""


def organization_ceiling(given: Sequence[Given]) -> Ceiling:
    """The most that a token of an organization allows."""
    layer = [_LISTED, *(_grant(one) for one in given)]
    actions = (_organization_actions(word) for one in given if one.type == TYPE_ORG for word in one.words)
    return Ceiling(organization_actions=frozenset().union(*actions)).lowered(*layer)


def _grant(given: Given) -> Grant:
    if given.type == TYPE_ORG:
        actions = frozenset[Action]().union(*(_NAMESPACE.get(word, frozenset()) for word in given.words))
        return Grant(actions, namespace_id=given.namespace_id or NO_ID)
    actions = frozenset[Action]().union(*(_repository_actions(word) for word in given.words))
    return given.bound(actions if given.pattern.namespace else actions & _READS)


def _repository_actions(scope: str) -> frozenset[Action]:
    actions: frozenset[Action] = frozenset()
    scope = _FORMER.get(scope, scope)
    while scope in _REPOSITORY:
        more, scope = _REPOSITORY[scope]
        actions |= more
    return actions


def _organization_actions(scope: str) -> frozenset[OrganizationAction]:
    actions: frozenset[OrganizationAction] = frozenset()
    while scope in _ORGANIZATION:
        more, scope = _ORGANIZATION[scope]
        actions |= more
    return actions


class Resource(msgspec.Struct, frozen=True):
    """What a token of an organization is to be given, as clients write it."""

    type: str
    path: str
    scopes: list[str]


async def bind_resources(tx: Transaction, organization: Organization, resources: Sequence[Resource]) -> list[Given]:
    """Resources with the ids of what they name now.

    Raises:
        FieldInvalid: a type, path or scope that there is not, or too many of them.
    """
    if sum(resource.type == TYPE_REPO for resource in resources) > REPOSITORIES_LIMIT:
        raise _refused([f"At most {REPOSITORIES_LIMIT} repositories."])
    if len(resources) > RESOURCES_LIMIT:
        raise _refused([f"At most {RESOURCES_LIMIT} resources."])
    patterns = [Pattern.parse(resource.path) if resource.type == TYPE_REPO else None for resource in resources]
    names = {pattern.repository for pattern in patterns if pattern and pattern.repository}
    own = {name for name in names if name.namespace == organization.name}
    found = await repository_rows.list_by_names(tx, own, actor_id=None)
    ids = {RepositoryName(repository.namespace, repository.name): repository.id for repository in found}
    problems = []
    given = []
    for number, (resource, pattern) in enumerate(zip(resources, patterns, strict=True)):
        if problem := _problem(organization, resource, pattern, ids):
            problems.append(f"{number}: {problem}")
        given.append(
            Given(
                path=resource.path,
                words=resource.scopes,
                type=resource.type,
                namespace_id=organization.id,
                repository_id=ids.get(pattern.repository) if pattern and pattern.repository else None,
            )
        )
    if problems:
        raise _refused(problems)
    return given


def _problem(
    organization: Organization, resource: Resource, pattern: Pattern | None, ids: Mapping[RepositoryName, int]
) -> str | None:
    """What keeps a resource from being given, in words."""
    scopes = {TYPE_REPO: REPOSITORY_SCOPES, TYPE_ORG: ORGANIZATION_SCOPES}.get(resource.type)
    if scopes is None:
        return f"type has to be {TYPE_REPO} or {TYPE_ORG}."
    if not 1 <= len(resource.scopes) <= WORDS_LIMIT:
        return f"scopes have to be 1 to {WORDS_LIMIT}."
    if unknown := [scope[:64] for scope in resource.scopes if scope not in scopes]:
        return f"unknown scopes for {resource.type}: {', '.join(unknown)}."
    name = organization.name
    if resource.type == TYPE_ORG:
        return None if resource.path == name else f"path has to be {name}."
    return _problem_of_path(name, pattern, ids)


def _problem_of_path(name: str, pattern: Pattern | None, ids: Mapping[RepositoryName, int]) -> str | None:
    is_own = pattern is not None and (pattern.namespace == name or pattern.is_public_only)
    if pattern is None or not is_own:
        return f"path has to be {name}/repository, {name}/*, {name}/prefix* or */*/public."
    if pattern.repository and pattern.repository not in ids:
        return f"repository {pattern.repository} not found."
    return None


def _refused(problems: Sequence[str]) -> FieldInvalid:
    return FieldInvalid({"resources": problems}, "invalid resources")


class Verb(StrEnum):
    """What a narrow personal token may be given; each stands for itself."""

    PULL = "pull"
    PUSH = "push"
    DELETE_TAG = "delete_tag"
    EDIT_DESCRIPTION = "edit_description"
    ADMINISTER = "administer"


VERB_ACTIONS: Mapping[Verb, frozenset[Action]] = {
    Verb.PULL: READ_ACTIONS,
    Verb.PUSH: frozenset({Action.PUSH, Action.CREATE, Action.STAR}),
    Verb.DELETE_TAG: frozenset({Action.DELETE, Action.DELETE_TAGS}),
    Verb.EDIT_DESCRIPTION: frozenset({Action.DESCRIBE}),
    Verb.ADMINISTER: ALL_ACTIONS,
}

SCOPE_PRESETS: Mapping[Scope, tuple[str, frozenset[Verb]]] = {
    Scope.ADMIN: (EVERYTHING, frozenset(Verb)),
    Scope.WRITE: (EVERYTHING, frozenset({Verb.PULL, Verb.PUSH})),
    Scope.READ: (EVERYTHING, frozenset({Verb.PULL})),
    Scope.PUBLIC_READ: (EVERYTHING_PUBLIC, frozenset({Verb.PULL})),
}
"""Docker's scopes as grants."""

_SHOWN_BY = {
    Verb.PULL: Action.PULL,
    Verb.PUSH: Action.PUSH,
    Verb.DELETE_TAG: Action.DELETE_TAGS,
    Verb.EDIT_DESCRIPTION: Action.DESCRIBE,
    Verb.ADMINISTER: Action.ADMIN,
}


def verbs_of(allowed: frozenset[Action]) -> list[Verb]:
    """What actions are told as."""
    return [verb for verb, action in _SHOWN_BY.items() if action in allowed]


class NarrowGrant(msgspec.Struct, frozen=True):
    """Verbs on repositories, as clients write them."""

    repositories: str
    verbs: list[str]


def of_scopes(scopes: Iterable[str]) -> list[Given]:
    """Docker's scopes as grants."""
    presets = (SCOPE_PRESETS[Scope(scope)] for scope in scopes)
    return [Given(path, list(verbs)) for path, verbs in presets]


def scopes_layer(scopes: Iterable[str]) -> list[Grant]:
    """What Docker's scopes allow."""
    return narrow_layer(of_scopes(scopes))


def narrow_layer(given: Iterable[Given]) -> list[Grant]:
    """What the grants of a narrow token allow."""
    return [one.bound(_verb_actions(one.words)) for one in given]


def _verb_actions(verbs: Iterable[str]) -> frozenset[Action]:
    return frozenset[Action]().union(*(VERB_ACTIONS[Verb(verb)] for verb in verbs))


def are_within(given: Sequence[Given], ceiling: Ceiling) -> bool:
    """Whether a token with a ceiling allows all that some grants would, as their paths stand now."""
    wanted = [(_as_place(one), _verb_actions(one.words)) for one in given]
    return all(
        any(action in grant.actions and grant.holds(place) for grant in layer)
        for place, actions in wanted
        for action in actions
        for layer in ceiling.layers
    )


def _as_place(given: Given) -> Grant:
    """A grant that says of a single repository, too, in which namespace and by which name it is."""
    pattern = given.pattern
    if pattern.name:
        return Grant(
            frozenset(),
            repository_id=given.repository_id or NO_ID,
            namespace_id=given.namespace_id or NO_ID,
            prefix=pattern.name,
        )
    return given.bound(frozenset())


async def bind_grants(tx: Transaction, actor: Actor, wanted: Sequence[NarrowGrant]) -> list[Given]:
    """Narrow grants with the ids of what they name now.

    Raises:
        FieldInvalid: a pattern or verb that there is not, a repository that the actor may not know of, or too many.
    """
    if not 1 <= len(wanted) <= REPOSITORIES_LIMIT:
        raise FieldInvalid({"grants": [f"Give 1 to {REPOSITORIES_LIMIT}."]}, "invalid grants")
    patterns = [Pattern.parse(grant.repositories) for grant in wanted]
    names = {pattern.repository for pattern in patterns if pattern and pattern.repository}
    found = await repository_rows.list_by_names(tx, names, actor_id=actor.account_id)
    repositories = {
        RepositoryName(repository.namespace, repository.name): repository
        for repository in found
        if allowed_actions(actor, repository)
    }
    namespaces = await account_rows.list_ids(tx, {pattern.namespace for pattern in patterns if pattern})
    given, problems = [], []
    for number, (grant, pattern) in enumerate(zip(wanted, patterns, strict=True)):
        if problem := _problem_of_grant(grant, pattern, repositories, namespaces):
            problems.append(f"{number}: {problem}")
            continue
        assert pattern is not None
        repository = repositories.get(pattern.repository) if pattern.repository else None
        given.append(
            Given(
                path=grant.repositories,
                words=grant.verbs,
                namespace_id=namespaces.get(pattern.namespace),
                repository_id=repository.id if repository else None,
            )
        )
    if problems:
        raise FieldInvalid({"grants": problems}, "invalid grants")
    return given


def _problem_of_grant(
    grant: NarrowGrant,
    pattern: Pattern | None,
    repositories: Mapping[RepositoryName, Repository],
    namespaces: Mapping[str, int],
) -> str | None:
    """What keeps a grant from being given, in words."""
    if pattern is None:
        return f"repositories have to be namespace/name, namespace/*, namespace/prefix*, {_EVERYTHING_WORDS}."
    if not 1 <= len(grant.verbs) <= WORDS_LIMIT or not set(grant.verbs) <= set(Verb):
        return f"verbs have to be one or more of: {', '.join(Verb)}."
    if pattern.repository and pattern.repository not in repositories:
        return f"repository {pattern.repository} not found."
    if pattern.namespace and pattern.namespace not in namespaces:
        return f"namespace {pattern.namespace} not found."
    return None
