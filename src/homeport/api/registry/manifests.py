"""OCI Distribution Spec §Pulling manifests, §Pushing manifests, §Deleting manifests and tags; RFC 9110 on ranges."""

from homeport.api.registry.exchange import Exchange, matches_etag
from homeport.api.registry.ranges import content_range, wanted_range
from homeport.core import limits, manifests
from homeport.core.manifest_parsing import SIZE_LIMIT
from homeport.errors import BodyTooLarge, FieldInvalid, ManifestTooLarge
from homeport.names import TagName, parse_reference

TAGS_LIMIT = 100
"""Tags that one push may move; the specification asks for ten at least."""


async def get(exchange: Exchange, item: str) -> None:
    """The bytes of a manifest, by tag or digest; a GET counts as a pull."""
    services, request = exchange.services, exchange.request
    reference = parse_reference(item)
    is_head = request.method == "HEAD"
    repository, manifest = await manifests.pull(
        services, actor=exchange.actor, name=exchange.name, reference=reference, is_head=is_head
    )
    if not is_head:
        if services.settings.has_pull_limits:
            await limits.count_pull(services, exchange.actor, address=request.address)
        services.pulls.pulled(
            repository,
            manifest,
            reference,
            actor=exchange.actor,
            address=request.address,
            user_agent=request.user_agent,
        )
    digest = manifest.digest.encode()
    headers = [
        (b"content-type", manifest.media_type.encode("latin-1")),
        (b"docker-content-digest", digest),
        (b"etag", b'"' + digest + b'"'),
        (b"accept-ranges", b"bytes"),
    ]
    if (tags := request.header(b"if-none-match")) and matches_etag(tags, manifest.digest):
        await exchange.answer(304, headers[1:])
        return
    if (tags := request.header(b"if-match")) and not matches_etag(tags, manifest.digest):
        await exchange.answer(412, headers[1:])
        return
    size = len(manifest.content)
    wanted = wanted_range(request, size_bytes=size, etag=manifest.digest)
    if wanted is None:
        headers.append((b"content-length", str(size).encode()))
        await exchange.answer(200, headers, manifest.content)
    elif wanted:
        headers.append(content_range(wanted, size))
        await exchange.answer(206, headers, manifest.content[wanted.start : wanted.stop])
    else:
        await exchange.answer(416, [*headers[1:], content_range(wanted, size)])


async def put(exchange: Exchange, item: str) -> None:
    """Push a manifest by tag, or by digest with tags in the query (`?tag=a&tag=b`)."""
    request = exchange.request
    reference = parse_reference(item)
    texts = request.query.get("tag", [])
    if len(texts) > TAGS_LIMIT:
        raise FieldInvalid({"tag": [f"At most {TAGS_LIMIT} tags."]}, f"at most {TAGS_LIMIT} tags in one push")
    tags = [TagName.parse(text) for text in texts]
    try:
        content = await request.whole_body(SIZE_LIMIT)
    except BodyTooLarge:
        raise ManifestTooLarge(SIZE_LIMIT) from None
    pushed = await manifests.push(
        exchange.services,
        actor=exchange.actor,
        name=exchange.name,
        reference=reference,
        tags=tags,
        content=content,
        content_type=request.header(b"content-type") or None,
    )
    headers = [
        (b"location", f"{exchange.path}/manifests/{pushed.digest}".encode()),
        (b"docker-content-digest", pushed.digest.encode()),
        *((b"oci-tag", tag.encode()) for tag in tags),
    ]
    if pushed.subject:
        headers.append((b"oci-subject", pushed.subject.encode()))
    await exchange.answer(201, headers)


async def delete(exchange: Exchange, item: str) -> None:
    """Delete a tag, or a manifest by digest with the tags that point at it."""
    await manifests.delete(exchange.services, actor=exchange.actor, name=exchange.name, reference=parse_reference(item))
    await exchange.answer(202)
