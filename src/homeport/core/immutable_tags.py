"""Immutable tags: those that can be neither moved nor deleted, because a rule of their repository has them stay.

A rule is an RE2 expression for the whole name of a tag. RE2 takes a time that grows with the name and not faster,
whatever the expression, and its memory has a bound: rules are written by whoever administers a repository.

`tags.move_tags` and `tags.delete_tags`, the only ways by which tags move and go, check the rules in the transaction
that would do it, under the repository's lock (docs/decisions/0014-immutable-tags.md).
"""

import asyncio
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec
import re2

from homeport.core.access import Action, Actor, access_repository
from homeport.errors import ContentImmutable, FieldInvalid, TagImmutable
from homeport.names import RepositoryName
from homeport.storage.db import tags as rows
from homeport.storage.db.database import Transaction
from homeport.storage.db.records import Repository, TagRules

RULES_LIMIT = 20
RULE_LENGTH_LIMIT = 255

PROGRAM_SIZE_LIMIT = 1000
"""Instructions that a rule may compile to; what a match costs at most grows with them."""

MEMORY_LIMIT_BYTES = 128 * 1024
"""What one compiled rule may take."""

VERIFIED_LIMIT = 1000
"""Tags that a rule is shown to fit."""

SLICE = 1000
"""Names that are looked at in one go."""


class ImmutableTags(msgspec.Struct, frozen=True):
    """What a repository is to have: whether some of its tags are immutable, and which; without rules all are."""

    is_enabled: bool
    rules: Sequence[str]


@lru_cache(128)
def _compiled(rule: str) -> Any:
    options = re2.Options()
    options.max_mem = MEMORY_LIMIT_BYTES
    options.never_capture = True
    options.log_errors = False
    return re2.compile(rule, options)


def check_rule(rule: str, field: str) -> None:
    """Raises FieldInvalid if an expression is none of RE2, or too large."""
    if reason := _problem(rule):
        raise FieldInvalid({field: [reason]}, "invalid rule")


def _problem(rule: str) -> str:
    if not rule:
        return "A rule may not be empty."
    if len(rule) > RULE_LENGTH_LIMIT:
        return f"A rule has at most {RULE_LENGTH_LIMIT} characters."
    try:
        size = _compiled(rule).programsize
    except re2.error as error:
        said = error.args[0]
        return f"{rule!r} is no RE2 expression: {said.decode(errors='replace') if isinstance(said, bytes) else said}."
    except UnicodeError:
        return "A rule may not hold half a surrogate pair."
    return f"{rule!r} is too large." if size > PROGRAM_SIZE_LIMIT else ""


def parse(wanted: ImmutableTags) -> TagRules:
    """What is kept of rules, each of them once.

    Raises:
        FieldInvalid: there are too many, or one is no expression of RE2 or too large.
    """
    rules = list(dict.fromkeys(wanted.rules))
    if len(rules) > RULES_LIMIT:
        raise FieldInvalid({"immutable_tags_rules": [f"At most {RULES_LIMIT} rules."]}, "invalid rule")
    for rule in rules:
        check_rule(rule, "immutable_tags_rules")
    return TagRules(wanted.is_enabled, msgspec.json.encode(rules).decode())


def rules_of(rules: str) -> list[str]:
    """The rules as they are kept."""
    return msgspec.json.decode(rules, type=list[str])


async def which(rules: TagRules, names: Sequence[str]) -> frozenset[str]:
    """Those of some names that are immutable. A thread looks, so that nobody waits for somebody's odd rules."""
    if not rules.has_immutable_tags or not names:
        return frozenset()
    texts = rules_of(rules.immutable_tag_rules)
    return frozenset(await asyncio.to_thread(_fitting, texts, names) if texts else names)


def _fitting(rules: Sequence[str], names: Sequence[str]) -> list[str]:
    expressions = [_compiled(rule) for rule in rules]
    return [name for name in names if any(expression.fullmatch(name) for expression in expressions)]


async def check_tags(repository: Repository, rules: TagRules, names: Sequence[str]) -> None:
    """Raises TagImmutable if one of the tags, which are there, has to stay where it is."""
    immutable = await which(rules, names)
    for name in names:
        if name in immutable:
            raise TagImmutable(RepositoryName(repository.namespace, repository.name), name)


async def check_content(tx: Transaction, repository: Repository, rules: TagRules, digest: str) -> None:
    """Raises ContentImmutable if an immutable tag leads to a manifest or blob: by itself, or through indexes."""
    after = ""
    while rules.has_immutable_tags:
        names = await rows.list_names_above(tx, repository_id=repository.id, digest=digest, after=after, limit=SLICE)
        if immutable := await which(rules, names):
            raise ContentImmutable(digest, min(immutable))
        if len(names) < SLICE:
            return
        after = names[-1]


async def verify(tx: Transaction, *, actor: Actor, name: RepositoryName, rule: str) -> list[str]:
    """The tags that a rule fits, in the order of their names: the first `VERIFIED_LIMIT`.

    Raises:
        FieldInvalid: no expression of RE2, or too large.
        RepositoryUnknown, ActionDenied, NotAuthenticated: as `access_repository`.
    """
    repository = await access_repository(tx, actor, name, Action.SET_RULES)
    check_rule(rule, "regex")
    found: list[str] = []
    after = ""
    while len(found) < VERIFIED_LIMIT:
        names = await rows.list_names(tx, repository_id=repository.id, after=after, limit=SLICE)
        found += await asyncio.to_thread(_fitting, [rule], names)
        if len(names) < SLICE:
            break
        after = names[-1]
    return found[:VERIFIED_LIMIT]
