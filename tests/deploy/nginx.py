"""deploy/nginx/homeport.conf at places of one's own, and an nginx that runs it."""

import contextlib
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

CONFIGURATION = Path(__file__).parents[2] / "deploy/nginx/homeport.conf"
NGINX = shutil.which("nginx") or "/usr/sbin/nginx"


def rendered(*, servers: Sequence[str], tls: str, plain: str, certificate: Path, key: Path, challenges: Path) -> str:
    """The configuration for other places. `servers` are host:port of hubs, `tls` and `plain` where nginx listens."""
    return filled(
        servers="\n".join(f"    server {server} max_fails=1 fail_timeout=2s;" for server in servers),
        plain=f"    listen {plain};",
        challenges=f"        root {challenges};",
        tls=f"    listen {tls} ssl http2;\n    ssl_certificate {certificate};\n    ssl_certificate_key {key};",
    )


def filled(**places: str) -> str:
    """The configuration with these lines in its places."""
    text = CONFIGURATION.read_text()
    for name, lines in places.items():
        text, count = re.subn(rf"( *# <{name}>\n).*?( *# </{name}>\n)", rf"\g<1>{lines}\n\g<2>", text, flags=re.DOTALL)
        assert count == 1, f"deploy/nginx/homeport.conf has one place for {name}"
    return text


def whole(folder: Path, http: str) -> Path:
    """A file that nginx begins with, for what belongs into its `http` block. What nginx writes goes into `folder`."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    path = folder / "nginx.conf"
    path.write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log info; events {{}}\n"
        f"http {{ access_log off; {paths}\n{http} }}\n"
    )
    return path


@contextlib.contextmanager
def running(folder: Path, http: str) -> Iterator[None]:
    """nginx in the foreground of a process of its own."""
    process = subprocess.Popen([NGINX, "-p", str(folder), "-c", str(whole(folder, http))])
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)
