"""Reads a download to its end with Python's own client: python broken.py URL TOKEN ENCODING.

Prints "begun" after the first bytes and waits for a line on standard input; then reads on. Ends with 0 and "whole N" when
the client takes the body for whole, with 3 and the name of the error when it says that it is not.
"""

import http.client
import sys
import urllib.request


def main(url, token, encoding):
    headers = {"Authorization": f"Token {token}", "Accept-Encoding": encoding}
    response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60)
    total = len(response.read(1000))
    print("begun", flush=True)
    sys.stdin.readline()
    try:
        # Without a size: only then does the client compare with the length that was announced.
        total += len(response.read())
    except (http.client.IncompleteRead, ConnectionError) as error:
        print("broken", type(error).__name__)
        return 3
    print("whole", total)
    return 0


sys.exit(main(*sys.argv[1:]))
