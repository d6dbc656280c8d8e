"""`python -m bench`: the registry door beside Debian's docker-registry and nginx."""
