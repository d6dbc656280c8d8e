"""Waits until a URL answers 200; fails after 20 seconds, or when the process that should answer has ended."""

import os
import sys
import time
import urllib.request

url, process = sys.argv[1], int(sys.argv[2])
deadline = time.monotonic() + 20
while True:
    try:
        with urllib.request.urlopen(url, timeout=2):
            break
    except OSError:
        if time.monotonic() > deadline:
            sys.exit(f"{url} did not become ready")
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        sys.exit("the server ended")
    time.sleep(0.05)
