"""What lists of the Hub API cost the database: the same number of statements, however long they are.

Tags, members, groups and audit logs have such tests beside their own.
"""

from collections.abc import Callable

import httpx
import pytest

from homeport.storage.db.records import OrganizationRole
from tests.api.registry.test_statements import count
from tests.home import Home, User, unique

MANY = 30


class Place:
    """An organization with its owner, and what can be made there again and again."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.owner = home.user("owner")
        self.organization = home.organization(self.owner)
        self.guest = home.user("guest")
        self.as_owner = home.hub(self.owner)

    def client(self, user: User) -> httpx.Client:
        return self.as_owner if user == self.owner else self.home.hub(user)

    def invite(self) -> None:
        body = {"org": self.organization, "invitees": [f"{unique('somebody')}@example.net"]}
        assert self.as_owner.post("/v2/invites/bulk", json=body).status_code == 202

    def invite_the_guest_elsewhere(self) -> None:
        body = {"org": self.home.organization(self.owner), "invitees": [self.guest.name]}
        assert self.as_owner.post("/v2/invites/bulk", json=body).status_code == 202

    def domain(self) -> None:
        body = {"domain": f"{unique('host')}.example"}
        assert self.as_owner.post(f"/v2/orgs/{self.organization}/domains", json=body).status_code == 201

    def starred_repository(self) -> None:
        name = self.home.repository(self.owner.name)
        assert self.as_owner.post(f"/v2/repositories/{name}/stars").status_code == 200

    def organization_of_the_guest(self) -> None:
        self.home.member(self.home.organization(self.owner), self.guest, OrganizationRole.MEMBER)

    def token(self) -> None:
        body = {"token_label": "one of many", "scopes": ["repo:read"]}
        assert self.as_owner.post("/v2/access-tokens", json=body).status_code == 201


# Path, who asks, and what makes the list longer.
LISTS: dict[str, tuple[str, Callable[[Place], None]]] = {
    "/v2/access-tokens?page_size=100": ("owner", Place.token),
    "/v2/orgs/{organization}/invites": ("owner", Place.invite),
    "/v2/orgs/{organization}/domains": ("owner", Place.domain),
    "/v2/user/invites": ("guest", Place.invite_the_guest_elsewhere),
    "/v2/users/{owner}/repositories": ("owner", Place.starred_repository),
    "/v2/users/{owner}/repositories/starred?page_size=100": ("guest", Place.starred_repository),
    "/v2/user/orgs?page_size=100": ("guest", Place.organization_of_the_guest),
    "/v2/orgs?page_size=100": ("guest", Place.organization_of_the_guest),
    "/v2/users/{guest}/orgs?page_size=100": ("owner", Place.organization_of_the_guest),
}


@pytest.mark.parametrize("path", LISTS)
def test_a_list_costs_the_same_with_one_entry_and_with_many(home: Home, path: str) -> None:
    place = Place(home)
    who, make = LISTS[path]
    client = place.client(place.owner if who == "owner" else place.guest)
    names = {"organization": place.organization, "owner": place.owner.name, "guest": place.guest.name}
    filled = path.format(**names)
    make(place)
    few = count(home, client.headers["authorization"], filled)
    short = len(client.get(filled).content)
    for _ in range(MANY):
        make(place)
    assert len(client.get(filled).content) > short + MANY
    assert count(home, client.headers["authorization"], filled) == few
    assert 0 < few <= 4


def test_the_outbox_costs_the_same_for_one_mail_and_for_many(home: Home) -> None:
    place = Place(home)
    for _ in range(MANY):
        place.invite()
    client = home.hub(home.admin)
    counts = []
    for size in (1, MANY):
        path = f"/v2/mails?page_size={size}"
        assert len(client.get(path).json()["results"]) == size
        counts.append(count(home, client.headers["authorization"], path))
    assert counts[0] == counts[1] <= 4
