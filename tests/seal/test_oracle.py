"""A second implementation of COSE reads what we sign."""

import json
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sealward.seal import cbor, envelope, keys, receipt, signing, slip
from sealward.seal.envelope import Alarm, Kind
from sealward.seal.receipt import Code, Refusal, ServiceCertificate
from sealward.seal.slip import Slip

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec
    from tests.seal.conftest import Day

ROOT = Path(__file__).parents[2]


class Oracle:
    """Messages to verify, all by one process."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.expected: list[str | None] = []

    def expect(
        self,
        key: "ec.EllipticCurvePrivateKey",
        aad: list[str],
        data: bytes,
        payload: bytes | None,
    ) -> None:
        """Ask whether *key* signed *data*, and expect *payload*, or a refusal."""
        self.asked.append(
            {
                "public": signing.point65(key.public_key()).hex(),
                "aad": cbor.encode(aad).hex(),
                "data": data.hex(),
            }
        )
        self.expected.append(None if payload is None else payload.hex())

    def answers(self) -> list[str | None]:
        """Return what cwt found."""
        python = ROOT / ".venv-oracle/bin/python"
        if not python.exists():
            pytest.fail("the second reader is not set up: run `make oracle`")
        result = subprocess.run(
            [python, Path(__file__).with_name("oracle.py")],
            input=json.dumps(self.asked),
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        found: list[str | None] = json.loads(result.stdout)
        return found


def test_everything_we_sign_is_read_by_another(day: "Day") -> None:
    """Packets, receipts, certificates and slips verify under cwt with their aad."""
    oracle, key, alias = Oracle(), day.gateway, day.alias
    public = key.public_key()
    live, trend = day.content(), day.content(keys.TREND)
    packets = [
        live.key_packet(0, 5220, key),
        live.seal(Kind.VITALS, 1, 5220, b"one", signing_key=key),
        live.seal(
            Kind.ALARM, 2, 5220, b"two", signing_key=key, alarm=Alarm(bytes(16), 3)
        ),
        trend.seal(Kind.ROLLUP, 3, 5220, bytes(2000), signing_key=key),
    ]
    for packet in packets:
        signed = envelope.read(packet).signed
        payload = cbor.decode(signed)
        assert isinstance(payload, bytes)
        oracle.expect(key, ["smqtt/1 packet", alias], packet, payload)
        oracle.expect(key, ["smqtt/1 packet", alias[::-1]], packet, None)
    refusal = Refusal(epoch=day.epoch, seq=1, code=Code.TIME, server_ms=2)
    data = receipt.sign(key, alias, refusal)
    oracle.expect(key, ["smqtt/1 receipt", alias], data, refusal.encode())
    certificate = ServiceCertificate(
        role="receipt", partition=1, spki=signing.spki(public), since=0, until=60
    )
    data = certificate.sign(key)
    said = cbor.encode([1, "receipt", 1, certificate.spki, 0, 60])
    oracle.expect(key, ["smqtt/1 service key"], data, said)
    order = Slip(
        id=sha256(b"id").digest()[:16],
        expires=1,
        epoch=day.epoch,
        policy_number=1,
        live="a:1",
        trend="a:1",
        pseudonym=day.pseudonym,
        partition=1,
        certificates=(data,),
        pack_seconds=60,
    )
    data = slip.sign(key, alias, order)
    oracle.expect(key, ["smqtt/1 slip", alias], data, order.encode())
    broken = data[:-1] + bytes([data[-1] ^ 1])
    oracle.expect(key, ["smqtt/1 slip", alias], broken, None)
    assert oracle.answers() == oracle.expected
