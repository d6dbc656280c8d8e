"""Changes of a group's members as a property: in whatever form they come, the members are those that a plain reading of
RFC 7644 §3.5.2 leaves, and the others that a group has are left alone.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.home import Home
from tests.scim import GROUP, IdentityProvider, Json

USERS = 7


class Change(msgspec.Struct, frozen=True):
    """An operation, and what it makes of a set of members."""

    operation: Json
    apply: Callable[[set[str]], set[str]]


class Place:
    def __init__(self, home: Home) -> None:
        self.provider = IdentityProvider.of(home)
        self.users: list[str] = [self.provider.user()["id"] for _ in range(USERS)]
        self.group: str = self.provider.group("Changed")["id"]

    def members(self) -> set[str]:
        return _members(self.provider.get(f"/Groups/{self.group}").json())

    def put(self, members: Sequence[str]) -> None:
        body = {"schemas": [GROUP], "displayName": "Changed", "members": [{"value": id_} for id_ in members]}
        assert self.provider.put(f"/Groups/{self.group}", body).status_code == 200
        assert self.members() == set(members)


@pytest.fixture(scope="module")
def place(home: Home) -> Place:
    return Place(home)


def _members(group: Json) -> set[str]:
    ids = [member["value"] for member in group.get("members", ())]
    assert len(ids) == len(set(ids))
    return set(ids)


@st.composite
def changes(draw: st.DrawFn, users: Sequence[str]) -> Change:
    ids = draw(st.lists(st.sampled_from(users), min_size=1, max_size=3))
    some, one = set(ids), ids[0]
    values = [{"value": id_} for id_ in ids]
    selected = f'members[value eq "{one}"]'
    either = f'members[value eq "{one}" or value eq "{ids[-1]}"]'
    path = draw(st.sampled_from(["members", "Members", f"{GROUP}:members"]))
    add, remove, replace = (draw(st.sampled_from([word, word.title()])) for word in ("add", "remove", "replace"))

    def added(members: set[str]) -> set[str]:
        return members | some

    def removed(members: set[str]) -> set[str]:
        return members - some

    return draw(
        st.sampled_from(
            [
                Change({"op": add, "path": path, "value": values}, added),
                Change({"op": add, "path": path, "value": {"value": one}}, lambda members: members | {one}),
                Change({"op": add, "value": {"members": values}}, added),
                Change({"op": add, "value": {"members": values, "displayName": "Changed"}}, added),
                Change({"op": remove, "path": path, "value": values}, removed),
                Change({"op": remove, "path": selected}, lambda members: members - {one}),
                Change({"op": remove, "path": either}, lambda members: members - {one, ids[-1]}),
                Change({"op": remove, "path": path}, lambda _: set()),
                Change({"op": replace, "path": path, "value": values}, lambda _: some),
                Change({"op": replace, "value": {"members": values}}, lambda _: some),
                Change({"op": replace, "path": "displayName", "value": "Changed"}, lambda members: members),
                Change({"op": replace, "value": {"externalId": one}}, lambda members: members),
                Change({"op": add, "path": path, "value": [{"value": "nobody"}]}, lambda members: members),
            ]
        )
    )


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_members_are_those_whom_the_changes_leave(place: Place, data: st.DataObject) -> None:
    expected = set(data.draw(st.lists(st.sampled_from(place.users), unique=True)))
    place.put(sorted(expected))
    asked = data.draw(st.lists(changes(place.users), min_size=1, max_size=4))
    for change in asked:
        expected = change.apply(expected)
    operations: list[Any] = [change.operation for change in asked]
    answer = place.provider.patch(f"/Groups/{place.group}", *operations)
    assert answer.status_code == 200, answer.text
    assert _members(answer.json()) == expected, operations
    assert place.members() == expected, operations


def test_a_change_that_changes_nothing_shows_all_members(place: Place) -> None:
    place.put(place.users)
    before = place.provider.get(f"/Groups/{place.group}").json()
    answer = place.provider.patch(
        f"/Groups/{place.group}", {"op": "add", "path": "members", "value": [{"value": place.users[0]}]}
    )
    assert answer.json() == before
