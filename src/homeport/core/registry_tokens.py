"""What a registry token may carry: the scopes that were asked for, cut down to what the asker has now.

Docker's token specification: a token is given also when nothing of what was asked is granted; it then carries less.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from homeport.core.access import ANONYMOUS, Action, Actor, Target, access_namespace, allowed_actions
from homeport.errors import Denied, Invalid, NamespaceUnknown
from homeport.names import RepositoryName
from homeport.storage.db import repositories as repository_rows
from homeport.storage.db.database import Transaction

_SEARCH = "registry:catalog:search"
_CARRIED = (Action.PULL, Action.PUSH, Action.DELETE)


class RequestedScope(msgspec.Struct, frozen=True):
    """`repository:namespace/name:pull,push`."""

    name: RepositoryName
    actions: frozenset[Action]


def parse_scopes(texts: Sequence[str]) -> list[RequestedScope]:
    """Read scopes, each of which may hold several; those of other kinds, or that name nothing of ours, are left out."""
    scopes = []
    for text in " ".join(texts).split():
        kind, _, rest = text.partition(":")
        written, _, actions_text = rest.rpartition(":")
        if kind != "repository" and not kind.startswith("repository("):
            continue
        try:
            name = RepositoryName.parse(written)
        except Invalid:
            continue
        asked = set(actions_text.split(","))
        actions = frozenset(action for action in _CARRIED if action in asked or "*" in asked)
        scopes.append(RequestedScope(name, actions))
    return scopes


def asks_to_search(texts: Sequence[str]) -> bool:
    """Whether a token is to be searched with, which anybody's may."""
    return _SEARCH in " ".join(texts).split()


async def granted_access(tx: Transaction, *, actor: Actor, scopes: Sequence[RequestedScope]) -> list[dict[str, Any]]:
    """The `access` claim for an actor: of each scope what is granted; scopes of which nothing is are left out."""
    access = []
    for scope in scopes:
        repository = await repository_rows.get(tx, scope.name, actor_id=actor.account_id)
        if repository is not None:
            allowed = allowed_actions(actor, repository)
            repository_id = repository.id
        else:
            allowed = await _allowed_on_new(tx, actor, scope.name)
            repository_id = None
        actions = [action for action in _CARRIED if action in scope.actions & allowed]
        if actions:
            access.append(
                {
                    "type": "repository",
                    "name": str(scope.name),
                    "class": "",
                    "actions": actions,
                    "id": repository_id,
                }
            )
    return access


async def _allowed_on_new(tx: Transaction, actor: Actor, name: RepositoryName) -> frozenset[Action]:
    """On a repository that a push would make: all that a first push needs."""
    if actor == ANONYMOUS:
        return frozenset()
    try:
        namespace = await access_namespace(tx, actor, name)
    except (Denied, NamespaceUnknown):
        return frozenset()
    return actor.ceiling.allows(Target(name, namespace.id, None, is_private=True))
