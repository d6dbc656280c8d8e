"""Docker Hub's API."""

from litestar import Litestar

from homeport.core.services import Services


def create_app(services: Services) -> Litestar:
    """The Hub door."""
    return Litestar(route_handlers=[], openapi_config=None, state=None)
