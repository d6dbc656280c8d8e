"""What Docker Hub served once and has taken away: it says so, where other paths are only unknown."""

from litestar import Response, get
from litestar.params import FromPath

from homeport.api.hub.errors import answer

_TEXT = "this part of the API was removed in 2022: use /v2/namespaces/{namespace}/repositories"


@get("/v1/repositories/{rest:path}")
async def get_from_v1(rest: FromPath[str]) -> Response[bytes]:  # noqa: ARG001 - whatever stands there
    """410 for images and tags of the first version."""
    return answer(410, {"message": _TEXT, "detail": _TEXT, "errinfo": {}})


handlers = [get_from_v1]
