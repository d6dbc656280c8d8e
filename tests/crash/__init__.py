"""`python -m tests.crash`: what was acknowledged survives `kill -9`."""
