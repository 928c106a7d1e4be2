"""Make what a gateway lives by for a day: the slip, the day salts, the pins.

The slip says under which policy to seal and whose receipts to believe. It is signed
by custody's key, which the gateway pinned at its enrolment.
"""

import base64
import hashlib
import hmac
import json
import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from sealward import files
from sealward.custody.consent import Consent, compile_policies
from sealward.custody.credentials import epoch_of, midnight
from sealward.records.registry import Patient
from sealward.seal import cbor, receipt, signing, slip
from sealward.wire.telemetry import partition
from sealward.wire.topics import Alias

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec


LASTS = timedelta(hours=24)  # of a slip, and of a receipt key's certificate


def month_pseudonym(key: bytes, uid: str, at: datetime) -> str:
    """Return the name by which policies of *at*'s month call the patient *uid*.

    26 symbols of base 32 of HMAC-SHA-256 under custody's *key*; who lacks the key
    cannot tie two months together.
    """
    told = f"{uid}|{at:%Y-%m}".encode()
    digest = hmac.new(key, told, hashlib.sha256).digest()
    return base64.b32encode(digest).decode("ascii").lower()[:26]


def policies_of(patient: Patient, key: bytes, at: datetime) -> tuple[str, str]:
    """Return the live and the trend policy of *patient* in *at*'s month."""
    consent = json.loads(patient.consent)
    return compile_policies(
        Consent(
            ward=patient.placement,
            care=month_pseudonym(key, patient.uid, at),
            purposes=tuple(consent["purposes"]),
            studies=tuple(consent["studies"]),
        )
    )


class Slips:
    """Custody's signing key, and what it knows of intake's receipt keys."""

    def __init__(self, folder: Path, pack_seconds: int) -> None:
        self._key: ec.EllipticCurvePrivateKey = signing.from_private_pem(
            (folder / "custody.key").read_bytes()
        )
        self._pseudonym_key = (folder / "pseudonym.key").read_bytes()
        self._receipts = folder / "receipt-keys.cbor"
        self._pack_seconds = pack_seconds
        self.spki = signing.spki(self._key.public_key())
        self._receipt_keys: dict[int, bytes] = {}
        if self._receipts.exists():
            kept = cbor.decode(self._receipts.read_bytes())
            if isinstance(kept, dict):
                self._receipt_keys = dict(kept)

    def receipt_key(self, partitions: Mapping[int, bytes]) -> None:
        """Know intake's receipt keys: the SPKI for each of *partitions*.

        What is known already is not written again: who asks with no key at all, to
        learn whether custody is there, must take no key away.
        """
        if partitions.items() <= self._receipt_keys.items():
            return
        self._receipt_keys |= dict(partitions)
        files.replace(self._receipts, cbor.encode(self._receipt_keys))

    def certificates(self, number: int, now: datetime) -> list[bytes]:
        """Return the receipt key's certificates for partition *number*: two days'.

        The list is empty while intake has not shown its key.
        """
        spki = self._receipt_keys.get(number)
        if spki is None:
            return []
        starts = [midnight(epoch_of(now)) + day * LASTS for day in range(2)]
        return [
            receipt.ServiceCertificate(
                role="receipt",
                partition=number,
                spki=spki,
                since=int(start.timestamp()),
                until=int((start + LASTS).timestamp()),
            ).sign(self._key)
            for start in starts
        ]

    def slip(self, patient: Patient, alias: str, now: datetime) -> bytes:
        """Return the signed slip of *alias*, *patient*'s, for a day from *now*."""
        live, trend = policies_of(patient, self._pseudonym_key, now)
        number = partition(Alias(alias))
        made = slip.Slip(
            id=os.urandom(slip.ID),
            expires=int((now + LASTS).timestamp()),
            epoch=epoch_of(now),
            policy_number=patient.consent_rev,
            live=live,
            trend=trend,
            pseudonym=patient.pseudonym,
            partition=number,
            certificates=tuple(self.certificates(number, now)),
            pack_seconds=self._pack_seconds,
        )
        return slip.sign(self._key, alias, made)

    def live_policy(self, patient: Patient, now: datetime) -> str:
        """Return *patient*'s live policy, by which custody hands out day salts."""
        return policies_of(patient, self._pseudonym_key, now)[0]
