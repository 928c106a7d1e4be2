"""Verify COSE_Sign1 messages by an implementation that is not ours: cwt.

Run by .venv-oracle's Python, as a process of its own. Standard input is a JSON list
of ``{"public", "aad", "data"}`` in hexadecimal; standard output is the list of the
payloads found, in hexadecimal, or null where a signature does not fit.
"""

import json
import sys

from cwt import COSE, COSEKey, VerifyError


def verified(public: str, aad: str, data: str) -> str | None:
    """Return the payload of *data*, or None."""
    message = bytes.fromhex(data)
    point = bytes.fromhex(public)
    key = COSEKey.new(
        {
            1: 2,  # EC2
            2: message[8:12],  # kid
            3: -7,  # ES256
            -1: 1,  # P-256
            -2: point[1:33],
            -3: point[33:],
        }
    )
    try:
        found = COSE.new().decode(message, key, external_aad=bytes.fromhex(aad))
    except VerifyError:
        return None
    return bytes(found).hex()


if __name__ == "__main__":
    json.dump([verified(**each) for each in json.load(sys.stdin)], sys.stdout)
