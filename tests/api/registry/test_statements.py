"""What each request of the registry costs the database: a number, whatever the size of things."""

import anyio
import anyio.lowlevel
import httpx
import pytest

from homeport.app import create_app
from homeport.core.services import Services
from tests.home import Home, digest_of, image_manifest, push_blob, push_image

# Path behind the name, and the statements it takes with a token that is remembered.
READS = {
    "manifests/latest": 2,
    "manifests/{manifest}": 2,
    "blobs/{blob}": 2,
    "tags/list": 2,
    "tags/list?n=1": 2,
    "referrers/{manifest}": 2,
}


def count(home: Home, authorization: str, path: str) -> int:
    """The statements of one request, asked a second time."""

    async def verb(services: Services) -> int:
        statements: list[str] = []
        transport = httpx.ASGITransport(create_app(services))
        headers = {"authorization": authorization}
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
            assert (await client.get(path)).status_code == 200
            services.db.trace = statements.append
            assert (await client.get(path)).status_code == 200
            services.db.trace = None
        return len(statements)

    return home.run(verb)


@pytest.mark.parametrize("path", READS)
def test_reads(home: Home, path: str) -> None:
    name = home.repository("admin")
    client = home.registry(home.admin, name)
    content = push_image(client, name, "latest", text="statements")
    filled = path.format(manifest=digest_of(content), blob=digest_of(b"layer statements"))
    authorization = client.headers["authorization"]
    with_one = count(home, authorization, f"/v2/{name}/{filled}")
    push_image(client, name, *(f"t{number}" for number in range(50)), text="more statements")
    # None at all where SQLite says that nothing has changed since.
    for counted in (with_one, count(home, authorization, f"/v2/{name}/{filled}")):
        assert counted in (0, READS[path])


@pytest.mark.parametrize("has_rules", [False, True])
def test_a_push_of_a_manifest_costs_the_same_with_one_layer_and_with_fifty(home: Home, has_rules: bool) -> None:
    name = home.repository("admin")
    client = home.registry(home.admin, name)
    layers = [f"layer {number}".encode() for number in range(50)]
    for blob in (b"{}", *layers):
        push_blob(client, name, blob)
    # The first of a type writes down what types there are.
    push_image(client, name, "first", text="of its type")
    if has_rules:
        body = {"immutable_tags": True, "immutable_tags_rules": ["other", "t.*"]}
        assert home.hub(home.admin).patch(f"/v2/repositories/{name}/", json=body).status_code == 200

    async def verb(services: Services) -> list[int]:
        counts = []
        transport = httpx.ASGITransport(create_app(services))
        headers = {**client.headers, "content-type": "application/vnd.oci.image.manifest.v1+json"}
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as asker:
            await asker.get(f"/v2/{name}/tags/list")
            for number, some in enumerate((layers[:1], layers)):
                statements: list[str] = []
                services.db.trace = statements.append
                url = f"/v2/{name}/manifests/t{number}"
                assert (await asker.put(url, content=image_manifest(b"{}", *some))).status_code == 201
                services.db.trace = None
                counts.append(len(statements))
                await anyio.lowlevel.checkpoint()
        return counts

    one, fifty = home.run(verb)
    assert one == fifty <= 24
