"""Plays transcripts of `tests/samples/scim`: what an identity provider sends, step by step, and what it is told.

A transcript is a list of steps. `send` is a method and a path; `query`, `request_headers`, `body` (or `raw`) go with
it. `status`, `headers` and `answer` are what comes back: `answer` names the parts that matter, null is a part that is
not there, and the entries of a list are all there, in any order unless `ordered`. `keep` remembers parts of the answer
under names: `${name}` stands for one of them in that step and later. `${base}`, `${org}` and `${domain}` (which
is verified for the organization) are there from the start. A step with `hub` says who is in the organization, and in
its teams, as an owner sees it by the Hub API; one with `setup` makes a user or a group that the RFCs write about.
"""

import json
import re
from typing import Any

import httpx
import msgspec

from tests.api.hub.people import verified_domain
from tests.home import Home, unique
from tests.scim import IdentityProvider, Json, sample

_PEOPLE: dict[str, Json] = {
    "bjensen": {
        "externalId": "bjensen",
        "name": {"givenName": "Barbara", "familyName": "Jensen"},
        "displayName": "Barbara",
        "emails": [{"value": "bjensen@${domain}", "type": "work", "primary": True}],
    },
    "jsmith": {
        "externalId": "jsmith",
        "name": {"givenName": "John", "familyName": "Smith"},
        "displayName": "John",
        "emails": [{"value": "jsmith@${domain}", "type": "home"}],
    },
}


class Stage:
    """An organization whose identity provider speaks, with what was kept of the answers."""

    def __init__(self, home: Home) -> None:
        self.provider = IdentityProvider.of(home)
        self.owner = home.hub(self.provider.owner)
        domain = f"{unique('d')}.example.com"
        verified_domain(home, self.provider.organization, domain)
        self.kept = {"base": self.provider.base_url, "domain": domain, "org": self.provider.organization}

    def play(self, name: str) -> None:
        for number, step in enumerate(sample(name), 1):
            try:
                self._step(step)
            except AssertionError as error:
                error.add_note(f"{name}, step {number}: {step.get('is') or step.get('send') or step}")
                raise

    def _step(self, step: Json) -> None:
        if "setup" in step:
            self._set_up(step["setup"])
        elif "hub" in step:
            self._check_hub(self.filled(step["hub"]))
        else:
            self._exchange(step)

    def filled(self, value: Any) -> Any:
        """A part of a transcript with what its names stand for."""

        def known(match: re.Match[str]) -> str:
            return json.dumps(self.kept[match[1]])[1:-1]

        return json.loads(re.sub(r"\$\{(\w+)\}", known, json.dumps(value)))

    def _set_up(self, what: str) -> None:
        if what == "group":
            made = self.provider.group("Tour Guides", {"id": self.kept["bjensen"]})
            self.kept |= {"group": made["id"], "group_version": made["meta"]["version"]}
            return
        made = self.provider.user(what, **self.filled(_PEOPLE[what]))
        self.kept |= {what: made["id"], what.upper(): made["id"].upper(), "version": made["meta"]["version"]}

    def _exchange(self, step: Json) -> None:
        method, _, path = self.filled(step["send"]).partition(" ")
        body: Any = step["raw"].encode() if "raw" in step else self.filled(step.get("body"))
        headers = self.filled(step.get("request_headers", {}))
        answer = self.provider.send(method, path, body, headers=headers, **self.filled(step.get("query", {})))
        assert answer.status_code == step["status"], answer.text
        found = answer.json() if answer.content else None
        for name, where in step.get("keep", {}).items():
            value: Any = found
            for part in where.split("."):
                value = value[part]
            self.kept[name] = value
        for name, wanted in self.filled(step.get("headers", {})).items():
            assert answer.headers.get(name) == wanted, name
        if "answer" in step:
            check(self.filled(step["answer"]), found, ordered="ordered" in step)

    def _check_hub(self, wanted: Json) -> None:
        url = f"/v2/orgs/{self.kept['org']}"
        rows = {row["email"] or row["username"]: row for row in _all(self.owner, f"{url}/members")}
        rows.pop(f"{self.provider.owner.name}@example.com")
        if "members" in wanted:
            assert rows.keys() == wanted["members"].keys()
            for address, row in wanted["members"].items():
                check(row, rows[address])
        names = {row["username"]: address for address, row in rows.items()}
        for team, addresses in wanted.get("teams", {}).items():
            found = [names[member["username"]] for member in _all(self.owner, f"{url}/groups/{team}/members")]
            assert sorted(found) == sorted(addresses), team


def _all(client: httpx.Client, url: str) -> list[Json]:
    answer = client.get(url, params={"page_size": 100})
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]  # type: ignore[no-any-return]


def check(wanted: Any, found: Any, *, ordered: bool = False) -> None:
    """Raises AssertionError where an answer has not all parts of a sample."""
    problem = difference(wanted, found, ordered=ordered)
    assert not problem, f"{problem} in {msgspec.json.encode(found).decode()}"


def difference(wanted: Any, found: Any, *, ordered: bool = False, where: str = "answer") -> str:
    """The first difference, or nothing."""
    if isinstance(wanted, dict):
        return _difference_of_objects(wanted, found, ordered=ordered, where=where)
    if isinstance(wanted, list):
        return _difference_of_lists(wanted, found, ordered=ordered, where=where)
    return "" if type(wanted) is type(found) and wanted == found else f"{where} is {found!r}, not {wanted!r}"


def _difference_of_objects(wanted: Json, found: Any, *, ordered: bool, where: str) -> str:
    if not isinstance(found, dict):
        return f"{where} is {found!r}"
    present = next((name for name, value in wanted.items() if value is None and name in found), None)
    if present is not None:
        return f"{where}.{present} is there"
    parts = [(name, value) for name, value in wanted.items() if value is not None]
    problems = (difference(part, found.get(name), ordered=ordered, where=f"{where}.{name}") for name, part in parts)
    return next(filter(None, problems), "")


def _difference_of_lists(wanted: list[Any], found: Any, *, ordered: bool, where: str) -> str:
    if not isinstance(found, list) or len(found) != len(wanted):
        return f"{where} is {found!r}, not {len(wanted)} entries"
    if ordered:
        pairs = zip(wanted, found, strict=True)
        return next(filter(None, (difference(one, other, ordered=True, where=where) for one, other in pairs)), "")
    left = list(found)
    for one in wanted:
        match = next((other for other in left if not difference(one, other)), None)
        if match is None:
            return f"{where} has nothing like {one!r}"
        left.remove(match)
    return ""
