"""OCI Distribution Spec §Push, §Pull, beyond what the conformance suite looks at."""

import asyncio
import random
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from urllib.parse import quote

import httpx
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeport.core import accounts, blobs, manifests, uploads
from homeport.core.access import Actor
from homeport.core.services import Services
from homeport.errors import UploadUnknown
from homeport.names import Digest, RepositoryName, TagName
from homeport.storage.db import uploads as upload_rows
from homeport.storage.db.records import OrganizationRole
from tests.home import (
    OCI_INDEX,
    Home,
    digest_of,
    image_manifest,
    index_manifest,
    push_blob,
    push_image,
    put_manifest,
)
from tests.kept_bytes import keys_of_upload, lose, overwrite, times_kept


@pytest.fixture
def name(home: Home) -> str:
    return str(home.repository("admin"))


@pytest.fixture
def client(home: Home, name: str) -> httpx.Client:
    return home.registry(home.admin, name)


def status_of_lost(home: Home) -> int:
    """A bucket knows what it does not have; a folder may be a disk that is not there."""
    return 404 if home.settings.blob_url else 503


def code(response: httpx.Response) -> str:
    found: str = response.json()["errors"][0]["code"]
    return found


def test_an_image_comes_back_bit_for_bit(client: httpx.Client, name: str) -> None:
    content = push_image(client, name, "1.0", text="bits")
    by_tag = client.get(f"/v2/{name}/manifests/1.0")
    assert by_tag.content == content
    assert by_tag.headers["docker-content-digest"] == digest_of(content)
    assert by_tag.headers["content-type"] == "application/vnd.oci.image.manifest.v1+json"
    assert client.get(f"/v2/{name}/manifests/{digest_of(content)}").content == content
    assert client.get(f"/v2/{name}/blobs/{digest_of(b'layer bits')}").content == b"layer bits"


@pytest.mark.parametrize("size", [0, 1, 128 * 1024, 128 * 1024 + 1, 3 * 1024 * 1024])
def test_a_blob_of_any_size_comes_whole(client: httpx.Client, name: str, size: int) -> None:
    content = random.Random(size).randbytes(size)
    got = client.get(f"/v2/{name}/blobs/{push_blob(client, name, content)}")
    assert got.content == content
    assert int(got.headers["content-length"]) == size


def test_a_large_blob_whose_bytes_are_lost_is_told_of_before_the_answer_begins(
    home: Home, client: httpx.Client, name: str
) -> None:
    content = f"large in {name}".encode() * 100_000
    digest = push_blob(client, name, content)
    lose(home, digest)
    assert client.get(f"/v2/{name}/blobs/{digest}").status_code == status_of_lost(home)
    push_blob(client, name, content)  # whole again for whoever checks the store


def test_an_error_closes_the_connection_only_if_it_left_some_of_the_body(client: httpx.Client, name: str) -> None:
    read = client.put(f"/v2/{name}/manifests/latest", content=b"no manifest" * 100_000)
    assert read.status_code == 400
    assert "connection" not in read.headers
    unread = client.put(f"/v2/{name}/blobs/uploads/unknown?digest={digest_of(b'')}", content=b"x" * 1_000_000)
    assert unread.status_code == 404
    assert unread.headers["connection"] == "close"


def test_a_head_has_the_headers_of_a_get_and_no_body(client: httpx.Client, name: str) -> None:
    content = push_image(client, name, "1.0", text="head")
    for path in ("manifests/1.0", f"blobs/{digest_of(b'layer head')}"):
        got, head = client.get(f"/v2/{name}/{path}"), client.head(f"/v2/{name}/{path}")
        assert head.status_code == 200
        assert head.content == b""
        for header in ("content-length", "docker-content-digest", "etag", "content-type"):
            assert head.headers[header] == got.headers[header]
    assert int(client.head(f"/v2/{name}/manifests/1.0").headers["content-length"]) == len(content)


def test_a_manifest_that_the_client_has_is_not_sent_again(client: httpx.Client, name: str) -> None:
    content = push_image(client, name, "1.0", text="etag")
    etag = client.get(f"/v2/{name}/manifests/1.0").headers["etag"]
    assert etag == f'"{digest_of(content)}"'
    assert client.get(f"/v2/{name}/manifests/1.0", headers={"if-none-match": etag}).status_code == 304
    assert client.get(f"/v2/{name}/manifests/1.0", headers={"if-none-match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    ("header", "status", "start", "stop"),
    [
        ("bytes=0-9", 206, 0, 10),
        ("bytes=90-", 206, 90, 100),
        ("bytes=-7", 206, 93, 100),
        ("bytes=-1000", 206, 0, 100),
        ("bytes=95-5000", 206, 95, 100),
        ("bytes=100-", 416, 0, 0),
        ("bytes=5-4", 416, 0, 0),
        ("bytes=-0", 416, 0, 0),
        ("Bytes=0-9", 206, 0, 10),
        ("bytes=0-1,5-6", 200, 0, 100),
        ("lines=0-9", 200, 0, 100),
        ("bytes=abc", 200, 0, 100),
    ],
)
def test_ranges_of_blobs_and_manifests(
    client: httpx.Client, name: str, header: str, status: int, start: int, stop: int
) -> None:
    blob = bytes(range(100))
    manifest = index_manifest().ljust(100)
    put_manifest(client, name, "ranges", manifest, OCI_INDEX)
    for content, path in ((blob, f"blobs/{push_blob(client, name, blob)}"), (manifest, "manifests/ranges")):
        url = f"/v2/{name}/{path}"
        answer = client.get(url, headers={"range": header})
        assert answer.status_code == status
        assert answer.headers["docker-content-digest"] == digest_of(content)
        assert answer.headers["accept-ranges"] == "bytes"
        if status == 206:
            assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/100"
            assert int(answer.headers["content-length"]) == stop - start
        if status == 416:
            assert answer.headers["content-range"] == "bytes */100"
        else:
            assert answer.content == content[start:stop]
        head = client.head(url, headers={"range": header})  # RFC 9110 §14.2: ranges are for GET
        assert (head.status_code, head.headers["content-length"]) == (200, "100")


def test_a_range_counts_only_for_the_content_that_the_client_knows(client: httpx.Client, name: str) -> None:
    blob, manifest = b"0123456789", index_manifest().ljust(100)
    put_manifest(client, name, "known", manifest, OCI_INDEX)
    for content, path in ((blob, f"blobs/{push_blob(client, name, blob)}"), (manifest, "manifests/known")):
        url, wanted, etag = f"/v2/{name}/{path}", {"range": "bytes=0-1"}, f'"{digest_of(content)}"'
        assert client.get(url, headers=wanted | {"if-range": etag}).content == content[:2]
        assert client.get(url, headers=wanted | {"if-range": '"older"'}).content == content
        assert client.get(url, headers={"if-match": f'"older", {etag}'}).status_code == 200
        refused = client.get(url, headers={"if-match": '"older"'})
        assert (refused.status_code, refused.content) == (412, b"")
        assert refused.headers["docker-content-digest"] == digest_of(content)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=4000),
    cuts=st.lists(st.integers(0, 4000), max_size=4),
    algorithm=st.sampled_from(["sha256", "sha512"]),
)
def test_any_chunking_gives_the_same_blob(
    client: httpx.Client, name: str, content: bytes, cuts: list[int], algorithm: str
) -> None:
    edges = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    location = client.post(f"/v2/{name}/blobs/uploads/").headers["location"]
    for start, stop in pairwise(edges):
        if start == stop:
            continue
        headers = {"content-range": f"{start}-{stop - 1}"}
        answer = client.patch(location, content=content[start:stop], headers=headers)
        assert answer.status_code == 202
        assert answer.headers["range"] == f"0-{stop - 1}"
        location = answer.headers["location"]
    digest = digest_of(content, algorithm)
    assert client.put(location, params={"digest": digest}).status_code == 201
    assert client.get(f"/v2/{name}/blobs/{digest}").content == content


def test_a_broken_upload_goes_on_where_it_ended(client: httpx.Client, name: str) -> None:
    location = client.post(f"/v2/{name}/blobs/uploads/").headers["location"]
    client.patch(location, content=b"hello ")
    for wrong in ("100-100", "0-0", "7-6", "6", "bytes=6-6", "-1-6", "x"):
        out_of_order = client.patch(location, content=b"x", headers={"content-range": wrong})
        assert (out_of_order.status_code, code(out_of_order)) == (416, "BLOB_UPLOAD_INVALID")
        assert out_of_order.headers["range"] == "0-5"
        assert out_of_order.headers["location"] == location
    status = client.get(location)
    assert (status.status_code, status.headers["range"]) == (204, "0-5")
    ended = client.put(location, params={"digest": digest_of(b"hello world")}, content=b"world")
    assert ended.status_code == 201
    assert client.get(location).status_code == 404


def test_a_wrong_digest_leaves_nothing(client: httpx.Client, name: str) -> None:
    location = client.post(f"/v2/{name}/blobs/uploads/").headers["location"]
    wrong = digest_of(b"something else")
    answer = client.put(location, params={"digest": wrong}, content=b"content")
    assert (answer.status_code, code(answer)) == (400, "DIGEST_INVALID")
    assert client.get(location).status_code == 404
    for digest in (wrong, digest_of(b"content")):
        assert client.head(f"/v2/{name}/blobs/{digest}").status_code == 404


def test_an_upload_that_was_cancelled_is_gone(client: httpx.Client, name: str) -> None:
    location = client.post(f"/v2/{name}/blobs/uploads/").headers["location"]
    assert client.delete(location).status_code == 204
    assert client.get(location).status_code == 404
    assert code(client.patch(location, content=b"x")) == "BLOB_UPLOAD_UNKNOWN"
    assert client.delete(location).status_code == 404


def test_an_upload_that_is_cancelled_while_it_is_sealed_leaves_nothing(
    home: Home, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository, digest = RepositoryName.parse(name), Digest(digest_of(b""))

    async def finish(services: Services) -> str:
        async with services.db.read() as tx:
            admin = Actor.of(await accounts.access_user(tx, "admin"))
        seal = services.blobs.seal

        async def sealed_too_late(upload: str, digest: Digest) -> str:
            key = await seal(upload, digest)
            async with services.db.write() as tx:
                await upload_rows.delete(tx, upload)
            return key

        monkeypatch.setattr(services.blobs, "seal", sealed_too_late)
        upload = await uploads.begin(services, actor=admin, name=repository)
        with pytest.raises(UploadUnknown):
            await uploads.finish(services, actor=admin, name=repository, upload=upload, digest=digest, body=None)
        return upload

    upload = home.run(finish)
    assert keys_of_upload(home, upload) == []


def test_an_upload_that_is_cancelled_while_it_is_published_publishes_no_lost_bytes(
    home: Home, client: httpx.Client, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository, content = RepositoryName.parse(name), f"cancelled in {name}".encode()
    digest = Digest(digest_of(content))

    async def body() -> AsyncIterator[bytes]:
        yield content

    async def race(services: Services) -> object:
        async with services.db.read() as tx:
            admin = Actor.of(await accounts.access_user(tx, "admin"))
        seal, discard, sealed = services.blobs.seal, services.blobs.discard, asyncio.Event()

        async def slowly_sealed(upload: str, digest: Digest) -> str:
            key = await seal(upload, digest)
            sealed.set()
            await asyncio.sleep(0.2)  # now comes the other request
            return key

        async def slowly_discarded(upload: str) -> None:
            await discard(upload)
            await asyncio.sleep(0.5)

        monkeypatch.setattr(services.blobs, "seal", slowly_sealed)
        monkeypatch.setattr(services.blobs, "discard", slowly_discarded)
        upload = await uploads.begin(services, actor=admin, name=repository)
        finishing = asyncio.create_task(
            uploads.finish(services, actor=admin, name=repository, upload=upload, digest=digest, body=body())
        )
        await sealed.wait()
        await uploads.cancel(services, actor=admin, name=repository, upload=upload)
        return (await asyncio.gather(finishing, return_exceptions=True))[0]

    assert isinstance(home.run(race), UploadUnknown)
    assert client.head(f"/v2/{name}/blobs/{digest}").status_code == 404
    push_blob(client, name, content)
    assert client.get(f"/v2/{name}/blobs/{digest}").content == content


def test_an_upload_belongs_to_its_repository_and_account(home: Home) -> None:
    owner, other = home.user(), home.user()
    organization = home.organization(owner)
    home.member(organization, other, OrganizationRole.EDITOR)
    first, second = home.repository(organization), home.repository(organization)
    mine = home.registry(owner, first, second)
    theirs = home.registry(other, first, second)
    location = mine.post(f"/v2/{first}/blobs/uploads/").headers["location"]
    elsewhere = location.replace(str(first), str(second))
    digest = {"digest": digest_of(b"")}
    for client, url in ((theirs, location), (mine, elsewhere), (theirs, elsewhere)):
        for method, options in (
            ("GET", {}),
            ("PATCH", {"content": b"x"}),
            ("PUT", {"params": digest}),
            ("DELETE", {}),
        ):
            answer = client.request(method, url, **options)
            assert answer.status_code == 404, (method, url)
    assert mine.get(location).status_code == 204


def test_a_blob_too_large_is_refused(client: httpx.Client, name: str) -> None:
    location = client.post(f"/v2/{name}/blobs/uploads/").headers["location"]
    answer = client.patch(location, content=b"x" * (16 * 1024 * 1024 + 1))
    assert (answer.status_code, code(answer)) == (413, "SIZE_INVALID")


def test_a_blob_in_one_request(client: httpx.Client, name: str) -> None:
    digest = digest_of(b"at once")
    answer = client.post(f"/v2/{name}/blobs/uploads/", params={"digest": digest}, content=b"at once")
    assert answer.status_code == 201
    assert answer.headers["docker-content-digest"] == digest
    assert client.get(f"/v2/{name}/blobs/{digest}").content == b"at once"


def test_the_same_blob_twice_is_kept_once(home: Home, client: httpx.Client, name: str) -> None:
    content = f"twice in {name}".encode()
    assert push_blob(client, name, content) == push_blob(client, name, content)
    assert times_kept(home, content) == 1


@pytest.mark.parametrize("damage", ["gone", "cut short"])
def test_pushing_a_blob_again_mends_what_the_store_has_lost(
    home: Home, client: httpx.Client, name: str, damage: str
) -> None:
    content = f"lost in {name}".encode()
    digest = push_blob(client, name, content)
    url = f"/v2/{name}/blobs/{digest}"
    assert client.get(url).content == content
    if damage == "gone":
        lose(home, digest)
        assert client.head(url).status_code == 404
        assert client.get(url).status_code == status_of_lost(home)
    else:
        overwrite(home, digest, content[:-1])
    push_blob(client, name, content)
    assert client.head(url).status_code == 200
    assert client.get(url).content == content


def test_a_blob_is_mounted_only_from_where_the_actor_may_pull(home: Home) -> None:
    owner, stranger = home.user(), home.user()
    secret = home.repository(owner.name, is_private=True)
    public = home.repository(owner.name)
    hidden = push_blob(home.registry(owner, secret), secret, f"hidden {secret}".encode())
    shown = push_blob(home.registry(owner, public), public, f"shown {public}".encode())
    target = home.repository(stranger.name)
    client = home.registry(stranger, target)
    uploads = f"/v2/{target}/blobs/uploads/"
    for source in (str(secret), None):
        parameters = {"mount": hidden} | ({"from": source} if source else {})
        assert client.post(uploads, params=parameters).status_code == 202
        assert client.head(f"/v2/{target}/blobs/{hidden}").status_code == 404
    assert client.post(uploads, params={"mount": shown, "from": str(public)}).status_code == 201
    assert client.head(f"/v2/{target}/blobs/{shown}").status_code == 200


def test_a_blob_without_its_source_is_found_where_the_actor_may_pull(home: Home) -> None:
    owner = home.user()
    source, target = home.repository(owner.name, is_private=True), home.repository(owner.name)
    client = home.registry(owner, source, target)
    digest = push_blob(client, source, f"mounted {source}".encode())
    assert client.post(f"/v2/{target}/blobs/uploads/", params={"mount": digest}).status_code == 201


def test_a_digest_learnt_elsewhere_opens_nothing(home: Home) -> None:
    owner = home.user()
    source, other = home.repository(owner.name), home.repository(owner.name)
    client = home.registry(owner, source, other)
    digest = push_blob(client, source, b"of the source")
    assert client.get(f"/v2/{other}/blobs/{digest}").status_code == 404
    refused = put_manifest(client, other, "latest", image_manifest(b"of the source"))
    assert (refused.status_code, code(refused)) == (404, "MANIFEST_BLOB_UNKNOWN")


def test_a_blob_deleted_from_one_repository_stays_deleted_when_another_is_read(home: Home) -> None:
    owner = home.user()
    first, second = home.repository(owner.name), home.repository(owner.name)
    client = home.registry(owner, first, second)
    content = f"in {first} and {second}".encode()
    digest = push_blob(client, first, content)
    assert push_blob(client, second, content) == digest
    urls = [f"/v2/{name}/blobs/{digest}" for name in (first, second)]
    assert [client.get(url).status_code for url in urls] == [200, 200]
    assert client.delete(urls[0]).status_code == 202
    for _ in range(3):
        assert [client.get(url).status_code for url in reversed(urls)] == [200, 404]
    assert client.delete(urls[0]).status_code == 404
    push_blob(client, first, content)
    assert client.get(urls[0]).content == content


def test_a_blob_of_which_the_end_is_missing_is_no_whole_answer(home: Home, client: httpx.Client, name: str) -> None:
    content = f"cut in {name} ".encode() * 100_000
    digest = push_blob(client, name, content)
    overwrite(home, digest, content[:-1000])
    for headers in ({}, {"range": "bytes=10-"}):
        try:
            answer = httpx.get(f"{home.url}/v2/{name}/blobs/{digest}", headers={**client.headers, **headers})
        except httpx.RemoteProtocolError:
            continue  # the server sends files by itself, and learns of it on the way
        assert answer.status_code == 503
    overwrite(home, digest, content)  # whole again for whoever checks the store


def test_a_push_makes_the_repository(home: Home) -> None:
    user = home.user()
    name = f"{user.name}/new"
    push_image(home.registry(user, name), name, "latest")
    assert home.anonymous.get(f"/v2/repositories/{name}/tags").json()["count"] == 1


def test_a_push_makes_no_repository_in_a_namespace_of_others(home: Home) -> None:
    user, other = home.user(), home.user()
    for namespace in (other.name, "nobody-has-this"):
        name = f"{namespace}/new"
        answer = home.registry(user, name).post(f"/v2/{name}/blobs/uploads/")
        assert (answer.status_code, code(answer)) == (401, "DENIED")
        assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


def test_several_tags_in_one_push_are_all_there(client: httpx.Client, name: str) -> None:
    content = push_image(client, name, text="tags")
    digest = digest_of(content)
    answer = client.put(
        f"/v2/{name}/manifests/{digest}",
        params={"tag": ["a", "b"]},
        content=content,
        headers={"content-type": "application/vnd.oci.image.manifest.v1+json"},
    )
    assert answer.headers.get_list("oci-tag") == ["a", "b"]
    for tag in ("a", "b"):
        assert client.head(f"/v2/{name}/manifests/{tag}").headers["docker-content-digest"] == digest
    refused = client.put(f"/v2/{name}/manifests/{digest}", params={"tag": ["c", ".bad"]}, content=content)
    assert refused.status_code == 400
    assert client.head(f"/v2/{name}/manifests/c").status_code == 404


def test_one_part_is_an_official_image(home: Home) -> None:
    client = home.registry(home.admin, "library/nginx", "nginx")
    content = push_image(client, "nginx", "1.0", text="official")
    assert client.get("/v2/library/nginx/manifests/1.0").content == content


def test_deleting_a_manifest_deletes_its_tags_and_keeps_its_blobs(client: httpx.Client, name: str) -> None:
    content = push_image(client, name, "a", "b", text="deleted")
    push_image(client, name, "c", text="kept")
    assert client.delete(f"/v2/{name}/manifests/{digest_of(content)}").status_code == 202
    assert client.get(f"/v2/{name}/tags/list").json()["tags"] == ["c"]
    assert client.head(f"/v2/{name}/blobs/{digest_of(b'layer deleted')}").status_code == 200
    again = client.delete(f"/v2/{name}/manifests/{digest_of(content)}")
    assert (again.status_code, code(again)) == (404, "MANIFEST_UNKNOWN")


def test_deleting_a_tag_keeps_the_manifest(client: httpx.Client, name: str) -> None:
    content = push_image(client, name, "a", "b", text="untagged")
    assert client.delete(f"/v2/{name}/manifests/a").status_code == 202
    assert client.head(f"/v2/{name}/manifests/a").status_code == 404
    assert client.head(f"/v2/{name}/manifests/b").status_code == 200
    assert client.get(f"/v2/{name}/manifests/{digest_of(content)}").content == content


@pytest.mark.parametrize("tag", ["uploads", "list", "blobs", "manifests", "referrers", "tags", "latest.", "A" * 128])
def test_a_tag_may_be_a_word_of_the_paths(client: httpx.Client, name: str, tag: str) -> None:
    content = push_image(client, name, tag, text="words")
    assert client.get(f"/v2/{name}/manifests/{tag}").content == content
    assert client.get(f"/v2/{name}/tags/list").json()["tags"] == [tag]
    assert client.delete(f"/v2/{name}/manifests/{tag}").status_code == 202


def test_pages_of_tags_are_the_set_in_byte_order(client: httpx.Client, name: str) -> None:
    tags = ["a", "a-b", "a.b", "B", "_x", "0", "a0", "latest"]
    push_image(client, name, *tags)
    url, found, pages = f"/v2/{name}/tags/list?n=3", [], 0
    while url:
        answer = client.get(url)
        found += answer.json()["tags"]
        assert len(answer.json()["tags"]) <= 3
        url, pages = answer.links["next"]["url"] if "next" in answer.links else "", pages + 1
    assert found == sorted(tags, key=str.encode)
    assert pages == 3
    assert client.get(f"/v2/{name}/tags/list?n=0").json()["tags"] == []
    assert client.get(f"/v2/{name}/tags/list?last=a").json()["tags"] == ["a-b", "a.b", "a0", "latest"]
    assert client.get(f"/v2/{name}/tags/list?n={2**70}").json()["tags"] == found
    for bad in ("-1", "x", "1.5"):
        assert code(client.get(f"/v2/{name}/tags/list?n={bad}")) == "PAGINATION_NUMBER_INVALID"


def test_referrers_are_filtered_and_come_in_pages(client: httpx.Client, name: str) -> None:
    subject = push_image(client, name, "subject", text="subject")
    descriptor = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest_of(subject), "size": 1}
    push_blob(client, name, b"{}")
    expected = {}
    for number in range(105):
        kind = "application/x.even" if number % 2 == 0 else "application/x.odd"
        content = image_manifest(b"{}", subject=descriptor, artifactType=kind, annotations={"number": str(number)})
        answer = put_manifest(client, name, digest_of(content), content)
        assert answer.headers["oci-subject"] == digest_of(subject)
        expected[digest_of(content)] = (kind, str(number))

    def listed(url: str) -> dict[str, tuple[str, str]]:
        found: dict[str, tuple[str, str]] = {}
        while url:
            answer = client.get(url)
            assert answer.headers["content-type"] == OCI_INDEX
            for entry in answer.json()["manifests"]:
                assert entry["digest"] not in found
                found[entry["digest"]] = (entry["artifactType"], entry["annotations"]["number"])
            url = answer.links["next"]["url"] if "next" in answer.links else ""
        return found

    url = f"/v2/{name}/referrers/{digest_of(subject)}"
    assert listed(url) == expected
    even = listed(f"{url}?artifactType=application/x.even")
    assert even == {digest: value for digest, value in expected.items() if value[0] == "application/x.even"}
    filtered = client.get(f"{url}?artifactType=application/x.even")
    assert filtered.headers["oci-filters-applied"] == "artifactType"
    assert client.get(f"/v2/{name}/referrers/{digest_of(b'never pushed')}").json()["manifests"] == []


def test_indexes_nest_to_a_depth(home: Home, client: httpx.Client, name: str) -> None:
    content = push_image(client, name, text="leaf")
    for level in range(home.settings.manifest_depth_limit):
        content = index_manifest((content, {}), annotations={"level": str(level)})
        assert put_manifest(client, name, f"level-{level}", content, OCI_INDEX).status_code == 201
    answer = put_manifest(client, name, "too-deep", index_manifest((content, {})), OCI_INDEX)
    assert (answer.status_code, code(answer)) == (400, "MANIFEST_INVALID")


def test_the_catalog_stays_shut(home: Home) -> None:
    answer = home.registry(home.admin).get("/v2/_catalog")
    assert answer.status_code == 401
    assert 'scope="registry:catalog:*",error="insufficient_scope"' in answer.headers["www-authenticate"]


MANIFESTS: list[tuple[str, str, bytes, int, str]] = [
    ("empty", "application/vnd.oci.image.manifest.v1+json", b"", 400, "MANIFEST_INVALID"),
    ("no object", "application/vnd.oci.image.manifest.v1+json", b"[]", 400, "MANIFEST_INVALID"),
    ("no JSON", "application/vnd.oci.image.manifest.v1+json", b"{", 400, "MANIFEST_INVALID"),
    (
        "no UTF-8",
        "application/vnd.oci.image.manifest.v1+json",
        b'{"schemaVersion":2,"a":"\xff"}',
        400,
        "MANIFEST_INVALID",
    ),
    ("nested", "application/vnd.oci.image.manifest.v1+json", b'{"x":' + b"[" * 100000, 400, "MANIFEST_INVALID"),
    ("no version", "application/vnd.oci.image.manifest.v1+json", b"{}", 400, "MANIFEST_INVALID"),
    ("schema 1", "application/vnd.docker.distribution.manifest.v1+prettyjws", b"{}", 400, "MANIFEST_INVALID"),
    ("unknown type", "application/vnd.example+json", b'{"schemaVersion":2}', 400, "MANIFEST_INVALID"),
    (
        "both kinds",
        "application/vnd.oci.image.index.v1+json",
        b'{"schemaVersion":2,"manifests":[],"layers":[]}',
        400,
        "MANIFEST_INVALID",
    ),
    (
        "two types",
        "application/vnd.oci.image.index.v1+json",
        b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","manifests":[]}',
        400,
        "MANIFEST_INVALID",
    ),
    (
        "huge size",
        "application/vnd.oci.image.index.v1+json",
        b'{"schemaVersion":2,"manifests":[{"mediaType":"a","digest":"sha256:' + b"0" * 64 + b'","size":1e400}]}',
        400,
        "MANIFEST_INVALID",
    ),
    (
        "bad digest",
        "application/vnd.oci.image.index.v1+json",
        b'{"schemaVersion":2,"manifests":[{"mediaType":"a","digest":"md5:00","size":1}]}',
        400,
        "MANIFEST_INVALID",
    ),
    ("too large", "application/vnd.oci.image.index.v1+json", b" " * (4 * 1024 * 1024 + 1), 413, "MANIFEST_INVALID"),
]


@pytest.mark.parametrize("case", MANIFESTS, ids=[case[0] for case in MANIFESTS])
def test_a_manifest_that_is_none_is_refused(
    client: httpx.Client, name: str, case: tuple[str, str, bytes, int, str]
) -> None:
    _, media_type, content, status, expected = case
    answer = put_manifest(client, name, "bad", content, media_type)
    assert (answer.status_code, code(answer)) == (status, expected)
    assert client.get(f"/v2/{name}/tags/list").json()["tags"] == []


def test_a_manifest_of_four_mebibytes_is_taken(client: httpx.Client, name: str) -> None:
    content = index_manifest()
    content += b" " * (4 * 1024 * 1024 - len(content))
    assert put_manifest(client, name, "large", content, OCI_INDEX).status_code == 201
    assert client.get(f"/v2/{name}/manifests/large").content == content


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v2/admin/../x/manifests/latest", None),
        ("/v2/admin/%2e%2e/manifests/latest", "NAME_INVALID"),
        ("/v2/admin%2Fx/manifests/latest", "NAME_INVALID"),
        ("/v2/Admin/x/manifests/latest", "NAME_INVALID"),
        ("/v2/admin/x%00/manifests/latest", "NAME_INVALID"),
        ("/v2/admin/x%0a/tags/list", "NAME_INVALID"),
        ("/v2/a/b/c/tags/list", "NAME_INVALID"),
        ("/v2/admin/" + "x" * 300 + "/tags/list", "NAME_INVALID"),
        ("/v2/admin/x/manifests/" + "t" * 129, "TAG_INVALID"),
        ("/v2/admin/x/manifests/-bad", "TAG_INVALID"),
        ("/v2/admin/x/manifests/sha256:short", "DIGEST_INVALID"),
        ("/v2/admin/x/blobs/sha256:" + "A" * 64, "DIGEST_INVALID"),
        ("/v2/admin/x/blobs/not-a-digest", "DIGEST_INVALID"),
    ],
)
def test_names_outside_the_grammar(home: Home, path: str, expected: str | None) -> None:
    client = home.registry(home.admin, "admin/x")
    answer = client.get(path)
    assert 400 <= answer.status_code < 500
    if expected:
        assert (answer.status_code, code(answer)) == (400, expected)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"]),
    middle=st.sampled_from(["manifests", "blobs", "blobs/uploads", "tags", "referrers", ""]),
    last=st.text(st.characters(codec="utf-8"), max_size=40),
    query=st.dictionaries(
        st.sampled_from(["n", "last", "digest", "mount", "from", "tag", "artifactType"]),
        st.text(st.characters(codec="utf-8"), max_size=20),
    ),
    body=st.binary(max_size=50),
    content_range=st.sampled_from(["", "0-1", "5-4", "bytes 0-1/*", "9" * 30 + "-" + "9" * 31, "x"]),
)
def test_no_request_is_an_internal_error(
    client: httpx.Client,
    name: str,
    method: str,
    middle: str,
    last: str,
    query: dict[str, str],
    body: bytes,
    content_range: str,
) -> None:
    headers = {"content-range": content_range} if content_range else {}
    path = f"/v2/{name}/{middle}/{quote(last, safe='')}"
    answer = client.request(method, path, params=query, content=body, headers=headers)
    assert answer.status_code < 500, (method, path, query, answer.text)
    if answer.status_code >= 400 and method != "HEAD" and answer.headers.get("content-type") == "application/json":
        assert msgspec.json.decode(answer.content)["errors"][0]["code"]


def test_what_another_process_changes_is_seen_by_the_next_request(home: Home, client: httpx.Client, name: str) -> None:
    push_image(client, name, "latest", "kept", text="elsewhere")
    urls = [f"/v2/{name}/manifests/latest", f"/v2/{name}/blobs/{digest_of(b'layer elsewhere')}"]
    for _ in range(3):
        assert [client.get(url).status_code for url in urls] == [200, 200]

    async def delete(services: Services) -> None:
        repository = RepositoryName.parse(name)
        async with services.db.read() as tx:
            admin = Actor.of(await accounts.access_user(tx, "admin"))
        await manifests.delete(services, actor=admin, name=repository, reference=TagName("latest"))
        async with services.db.write() as tx:
            digest = Digest(digest_of(b"layer elsewhere"))
            await blobs.delete_blob(tx, actor=admin, name=repository, digest=digest)

    home.run(delete)
    assert [client.get(url).status_code for url in urls] == [404, 404]
    assert client.get(f"/v2/{name}/manifests/kept").status_code == 200


def test_pushes_at_once_leave_one_tag_and_its_whole_history(home: Home, client: httpx.Client, name: str) -> None:
    contents = [index_manifest(annotations={"number": str(number)}) for number in range(30)]

    def push(content: bytes) -> list[int]:
        own = f"own-{digest_of(content)[7:20]}"
        statuses = [put_manifest(client, name, tag, content, OCI_INDEX).status_code for tag in ("shared", own)]
        return [*statuses, client.delete(f"/v2/{name}/manifests/{own}").status_code]

    with ThreadPoolExecutor(10) as pool:
        assert all(statuses == [201, 201, 202] for statuses in pool.map(push, contents))
    assert client.get(f"/v2/{name}/tags/list").json()["tags"] == ["shared"]
    assert client.get(f"/v2/{name}/manifests/shared").content in contents

    repository_id = home.repository_id(RepositoryName.parse(name))

    async def moves(services: Services) -> int | None:
        async with services.db.read() as tx:
            statement = "select count(*) from tag_moves where repository_id = :id and name = 'shared'"
            return await tx.value(int, statement, id=repository_id)

    assert home.run(moves) == len(contents)
    assert home.anonymous.get(f"/v2/repositories/{name}/tags").json()["count"] == 1


def test_pushes_of_one_blob_at_once_keep_it_once(home: Home, client: httpx.Client, name: str) -> None:
    content = f"at once in {name}".encode() * 10_000
    with ThreadPoolExecutor(10) as pool:
        [digest] = set(pool.map(lambda _: push_blob(client, name, content), range(20)))
    assert client.get(f"/v2/{name}/blobs/{digest}").content == content
    assert times_kept(home, content) == 1
