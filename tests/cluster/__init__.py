"""`python -m tests.cluster`: several machines' worth of processes, of which one after the other fails."""
