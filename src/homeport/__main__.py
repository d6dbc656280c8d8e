"""`python -m homeport`."""

from homeport.cli.main import main

main()
