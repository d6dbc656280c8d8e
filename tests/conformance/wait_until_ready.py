"""Waits until a URL answers 200; fails after 20 seconds."""

import sys
import time
import urllib.error
import urllib.request

deadline = time.monotonic() + 20
while True:
    try:
        with urllib.request.urlopen(sys.argv[1], timeout=2):
            break
    except (urllib.error.URLError, OSError):
        if time.monotonic() > deadline:
            sys.exit(f"{sys.argv[1]} did not become ready")
        time.sleep(0.05)
