#!/usr/bin/env python3
"""A program for `logmill work`: charges orders, one line of JSON on stdin for each. Needs Python and nothing else.

    logmill work -b localhost:9092 -g billing -t orders -o beginning -j 8 --max-attempts 5 -- python3 charge.py
"""

import base64
import gzip
import json
import sys


def payload(record):
    """The record's bytes. What is no UTF-8 comes as base64; null stays None."""
    if "payload_base64" in record:
        return base64.b64decode(record["payload_base64"])
    text = record["payload"]
    return None if text is None else text.encode()


def charge(order, attempt):
    """Where the payment would be made. Here the order itself says how often the payment service is busy."""
    if attempt <= order.get("busy", 0):
        raise BlockingIOError("the payment service is busy")
    print(f"charged {order['cents']} for order {order['id']} at attempt {attempt}", file=sys.stderr)


def handle(record):
    """What becomes of the record."""
    data = payload(record)
    if data is None:
        return {"status": "ack"}
    try:
        if data.startswith(b"\x1f\x8b"):
            data = gzip.decompress(data)
        order = json.loads(data)
        cents = order["cents"]
    except (OSError, EOFError, ValueError, LookupError, TypeError) as error:
        return {"status": "dead", "error": f"not an order: {error!r}"}
    if cents == 0:
        return {"status": "dead", "error": "zero amount"}
    try:
        charge(order, record["attempt"])
    except BlockingIOError as error:
        return {"status": "retry", "error": str(error), "delay_ms": 50}
    return {"status": "ack"}


for line in sys.stdin:
    record = json.loads(line)
    # An exception that nobody catches ends the program: it is started again, and the record is retried.
    answer = {name: record[name] for name in ("topic", "partition", "offset")} | handle(record)
    # Without flush the answer would wait in a buffer, and logmill for the answer.
    print(json.dumps(answer), flush=True)

# Stdin ends when the node drains, after the last answer.
print("no more orders", file=sys.stderr)
