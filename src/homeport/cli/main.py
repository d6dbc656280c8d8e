"""The `homeport` program: the server, and operators' commands over the same verbs that the doors call."""

import sys

import structlog
from cyclopts import App

from homeport import __version__
from homeport.cli import accounts, audit, backups, mails, maintenance, moving, orgs, scim, teams, users
from homeport.cli.output import guarded
from homeport.cli.serve import serve
from homeport.cli.worker import work

app = App(
    name="homeport",
    help="The Docker Hub that a team hosts itself.",
    version=__version__,
)
app.command(serve)
app.command(work, name="worker")
app.command(users.app)
app.command(orgs.app)
app.command(teams.app)
app.command(scim.app)
app.command(audit.app)
app.command(accounts.app)
app.command(mails.app)
app.command(maintenance.migrate)
app.command(maintenance.seed)
app.command(maintenance.fsck)
app.command(maintenance.collect)
app.command(backups.export)
app.command(backups.import_, name="import")
app.command(moving.move)


def main() -> None:
    # What a command prints is its outcome.
    structlog.configure(logger_factory=structlog.WriteLoggerFactory(file=sys.stderr))
    guarded(app)
