"""The `homeport` program."""

from cyclopts import App

from homeport.cli.serve import serve

app = App(name="homeport", help="The Docker Hub that a team hosts itself.")
app.command(serve)


def main() -> None:
    app()
