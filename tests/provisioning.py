"""What tests of provisioning arrange: an organization with a provider, people whom it knows, and all that they hold."""

import time
from typing import Any

import httpx

from homeport.core import accounts, domains
from homeport.core.access import OPERATOR
from homeport.core.services import Services
from homeport.storage.db.records import OrganizationRole
from tests.home import PASSWORD, Home, User, hash_of, unique
from tests.inviting import Inviting, value, value_or_none
from tests.logs import logged
from tests.scim import DOCKER_USER, USER, IdentityProvider, Json, new_token

HEARD_WITHIN_S = 10


class Provisioned(IdentityProvider):
    """An identity provider, and the organization as the site and its owner see it."""

    @classmethod
    def at(cls, home: Home) -> "Provisioned":
        """One with a new organization."""
        owner = home.user("owner")
        organization = home.organization(owner)
        return cls(home, organization, owner, new_token(home, organization))

    @property
    def hub(self) -> httpx.Client:
        return self.home.hub(self.owner)

    @property
    def inviting(self) -> Inviting:
        return Inviting(self.home, self.owner, self.organization, self.home.anonymous)

    def domain(self) -> str:
        """A domain that has been verified for the organization."""
        name = f"{unique('corp')}.example"
        verify(self.home, self.organization, name)
        return name

    def person(self, domain: str = "", **fields: Any) -> User:
        """A user of the hub with an address in a domain, in no organization."""
        return person(self.home, f"{unique('person')}@{domain or unique('home') + '.example'}", **fields)

    def member(self, role: OrganizationRole = OrganizationRole.MEMBER, domain: str = "") -> User:
        """A member who came without the provider."""
        user = self.person(domain)
        self.home.member(self.organization, user, role)
        return user

    def employee(self, domain: str = "", **fields: Any) -> tuple[Json, User]:
        """Somebody whom the provider has made, and the account with the password that the site gave them."""
        resource = self.user(f"{unique('employee')}@{domain or unique('d') + '.example'}", **fields)
        return resource, with_password(self.home, self.account_of(resource))

    def account_of(self, resource: Json) -> str:
        return value(self.home, str, "select name from accounts where uuid = :uuid", uuid=resource["id"])

    def id_of(self, user: User) -> str:
        return value(self.home, str, "select uuid from accounts where name = :name", name=user.name)

    def shown(self, user: User) -> httpx.Response:
        """Ask for a user by their account."""
        return self.get(f"/Users/{self.id_of(user)}")

    def create(self, user_name: str, **fields: Any) -> httpx.Response:
        """Ask for a new user."""
        return self.post("/Users", {"schemas": [USER], "userName": user_name, **fields})

    def replace(self, resource: Json, **fields: Any) -> httpx.Response:
        """PUT what a user was shown as, with some fields changed."""
        return self.put(f"/Users/{resource['id']}", {**resource, **fields})

    def set(self, resource: Json, **fields: Any) -> httpx.Response:
        """PATCH fields of a user or of a group."""
        kind = resource["meta"]["resourceType"]
        return self.patch(f"/{kind}s/{resource['id']}", {"op": "replace", "value": fields})

    def names(self, filter_: str = "") -> list[str]:
        """The user names that a list shows."""
        query = {"filter": filter_} if filter_ else {}
        found = self.get("/Users", count=200, **query)
        assert found.status_code == 200, found.text
        return [user["userName"] for user in found.json()["Resources"]]

    def group_named(self, name: str) -> Json:
        found = self.get("/Groups", filter=f'displayName eq "{name}"').json()
        assert found["totalResults"] == 1, found
        group: Json = found["Resources"][0]
        return group

    def role_of(self, user: User) -> OrganizationRole | None:
        return self.inviting.role_of(user.name)

    def events(self) -> list[tuple[str, dict[str, Any]]]:
        return logged(self.home, self.organization)

    def state(self) -> str:
        """All that the directory and the organization hold, to be compared with itself."""
        answers = [self.get(path, count=200).text for path in ("/Users", "/Groups")]
        roles = value_or_none(
            self.home,
            str,
            f"""select {"group_concat" if self.home.settings.is_sqlite else "string_agg"}(entry, ',') from (
            select account_name || role as entry from organization_members where organization_id =
            (select id from accounts where name = :name) order by 1) as entries""",
            name=self.organization,
        )
        pending = value(
            self.home,
            int,
            """select count(*) from invites where status = 'pending' and organization_id =
            (select id from accounts where name = :name)""",
            name=self.organization,
        )
        return f"{answers} {roles} {pending} {len(self.events())}"


class Holdings:
    """All that lets a person in, obtained while they are let in."""

    def __init__(self, home: Home, user: User) -> None:
        self.home = home
        self.user = user
        self.repository = home.repository(user.name, is_private=True)
        _, self.access_token = home.access_token(user)
        secrets = {"password": user.password, "access token": self.access_token}
        self.sessions = {word: home.hub(user, secret) for word, secret in secrets.items()}
        self.registries = {
            word: home.registry(user, self.repository, secret=secret) for word, secret in secrets.items()
        }
        self.refresh_tokens = {word: self._refresh_token(secret) for word, secret in secrets.items()}
        self._secrets = secrets

    def _refresh_token(self, secret: str) -> str:
        query = {"service": "test", "offline_token": "true"}
        answer = self.home.anonymous.get("/token", params=query, auth=(self.user.name, secret))
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["refresh_token"]
        return token

    def old(self) -> dict[str, int]:
        """What those who hold tokens of the past are answered."""
        answers = {}
        for word in self._secrets:
            answers[f"session by {word}"] = self.sessions[word].get(f"/v2/repositories/{self.repository}/tags")
            answers[f"registry token by {word}"] = self.registries[word].get(f"/v2/{self.repository}/tags/list")
            form = {"grant_type": "refresh_token", "refresh_token": self.refresh_tokens[word], "service": "test"}
            answers[f"refresh token by {word}"] = self.home.anonymous.post("/token", data=form)
        answers["access token"] = self.home.anonymous.get("/token", auth=(self.user.name, self.access_token))
        return {word: answer.status_code for word, answer in answers.items()}

    def new(self) -> dict[str, int]:
        """What who logs in with the password is answered."""
        name, password = self.user.name, self.user.password
        client = self.home.anonymous
        answers = {
            "docker login": client.get("/token", params={"service": "test"}, auth=(name, password)),
            "login": client.post("/v2/auth/token", json={"identifier": name, "secret": password}),
            "former login": client.post("/v2/users/login", json={"username": name, "password": password}),
        }
        return {word: answer.status_code for word, answer in answers.items()}

    def all(self) -> dict[str, int]:
        return {**self.old(), **self.new()}

    def all_are(self, status: int) -> bool:
        """Whether everything is answered so, by a process that is told of it within a moment."""
        deadline = time.monotonic() + HEARD_WITHIN_S
        while set(self.old().values()) != {status}:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return set(self.new().values()) == {status}


def person(home: Home, email: str, *, is_site_admin: bool = False) -> User:
    """A user of the hub with an address."""
    user = User(unique("person") + "x", PASSWORD)  # a provider's accounts may end in digits of their own

    async def verb(services: Services) -> None:
        async with services.db.write() as tx:
            await accounts.create_user(
                tx,
                actor=OPERATOR,
                name=user.name,
                email=email,
                password_hash=hash_of(user.password),
                is_site_admin=is_site_admin,
            )

    home.run(verb)
    return user


def email_of(home: Home, user: User) -> str:
    return value(home, str, "select coalesce(email, '') from accounts where name = :name", name=user.name)


def with_password(home: Home, name: str) -> User:
    """The account of a name with a password, which the site gives it."""

    async def verb(services: Services) -> None:
        async with services.db.write() as tx:
            await accounts.reset_password(tx, actor=OPERATOR, name=name, password_hash=hash_of(PASSWORD))

    home.run(verb)
    return User(name, PASSWORD)


def set_active(home: Home, user: User, *, is_active: bool) -> None:
    """What the site's operator does with an account."""

    async def verb(services: Services) -> None:
        async with services.db.write() as tx:
            await accounts.set_active(tx, actor=OPERATOR, name=user.name, is_active=is_active)

    home.run(verb)


def verify(home: Home, organization: str, domain: str) -> None:
    """Have a domain be an organization's."""

    async def verb(services: Services) -> None:
        async with services.db.write() as tx:
            plans = services.settings.plans
            await domains.add_domain(tx, actor=OPERATOR, organization=organization, name=domain, plans=plans)
            await domains.verify_domain(tx, actor=OPERATOR, organization=organization, name=domain)

    home.run(verb)


def is_managed_by(home: Home, user: User, organization: str) -> bool:
    found = value_or_none(
        home,
        str,
        """select o.name from accounts a join accounts o on o.id = a.managing_organization_id
        where a.name = :name""",
        name=user.name,
    )
    return found == organization


def ordered(*, role: str = "", team: str = "") -> dict[str, Any]:
    """The role and the team that a provider orders, as a field of a user."""
    orders = {"dockerRole": role, "dockerTeam": team}
    return {DOCKER_USER: {name: word for name, word in orders.items() if word}}


def the_error(answer: httpx.Response) -> tuple[int, str | None]:
    """Status and `scimType` of an error."""
    body = answer.json()
    assert body["status"] == str(answer.status_code)
    return answer.status_code, body.get("scimType")
