"""Docker Hub API §Rate limiting: the answer to those who ask too often."""

from homeport.api.http import Response
from homeport.storage.cache.cache import Window


def refusal(window: Window) -> Response:
    """Docker's bytes, the same in every section. Some clients read the one header, some the other."""
    return Response(
        429,
        [
            (b"content-type", b"application/json"),
            (b"retry-after", b"%d" % window.wait_s),
            (b"x-retry-after", b"%d" % window.reset_at),
        ],
        b'{"detail":"Rate limit exceeded","error":false}',
    )
