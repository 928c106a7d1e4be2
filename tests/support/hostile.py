"""What an attacker with a gateway's credential says, and what is written of it."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from types import TracebackType
from typing import TYPE_CHECKING, Self

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from tests.support import mqtt_client
from tests.support.device import dial
from tests.support.site import Ward, until

from sealward import clock
from sealward.bedside.credential import Credential
from sealward.seal import envelope, receipt, signing
from sealward.seal.envelope import Kind
from sealward.seal.receipt import Code, Message, Refusal, ServiceCertificate

if TYPE_CHECKING:
    from tests.support.mqtt_client import Client

DAY = 86_400
KID = b"kid1"
Told = set[tuple[Code, int]]  # refusals: code and number


@dataclass(frozen=True, kw_only=True)
class Says:
    """A packet's outside, signed by *device* unless *key* is another's."""

    device: Credential
    seq: int
    kind: Kind = Kind.VITALS
    days: int = 0  # from today
    slots: int = 0  # from now
    body: bytes = bytes(40)
    alias: str = ""
    key: ec.EllipticCurvePrivateKey | None = field(default=None, repr=False)

    def packet(self) -> bytes:
        """Return the signed packet, whatever its size."""
        seconds = int(clock.now().timestamp())
        epoch, slot = seconds // DAY + self.days, seconds % DAY // 10 + self.slots
        payload = cbor2.dumps([int(self.kind), self.seq, slot, epoch, self.body])
        aad = cbor2.dumps(["smqtt/1 packet", self.alias or self.device.alias])
        return signing.sign1(self.key or self.device.key, KID, payload, aad)


class Line:
    """An attacker's connection as *device*, which hears what it is told."""

    def __init__(self, site: Ward, device: Credential) -> None:
        self.site, self.device = site, device
        self._client: Client

    async def __aenter__(self) -> Self:
        self._client = await dial(self.site, self.device)
        assert await self._client.connack == 0
        assert await self._client.subscribe(f"cmd/{self.device.alias}/#") == 0
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def say(self, packets: Iterable[bytes], level: str = "vitals") -> None:
        """Publish *packets* on *level* of the device's own topic."""
        topic = f"telemetry/{self.device.alias}/{level}"
        for packet in packets:
            self._client.send(mqtt_client.publish(topic, packet))

    async def until(self, what: Callable[[], bool]) -> None:
        """Wait until *what* is true, and let the connection live meanwhile."""
        await asyncio.to_thread(until, what)

    def told(self) -> list[Message]:
        """Return what this device has been told, each verified as a gateway does."""
        public = signing.from_spki(self.device.pins.custody)
        slip = self.device.slip
        certificates = [
            ServiceCertificate.verify(public, each) for each in slip.certificates
        ]
        now = int(clock.now().timestamp())
        found = []
        for _, payload in list(self._client.heard):
            message = receipt.verify(
                payload,
                self.device.alias,
                certificates,
                partition=slip.partition,
                now=now,
            )
            assert message is not None
            found.append(message)
        return found

    def refusals(self) -> Told:
        """Return the refusals among what this device has been told."""
        return {(m.code, m.seq) for m in self.told() if isinstance(m, Refusal)}


def flush(site: Ward) -> None:
    """Have intake write what only its memory holds, by starting it anew."""
    site.site.launcher.restart("intake")


def stored(site: Ward, device: Credential) -> dict[int, bytes]:
    """Return what the database holds of *device*: number to SHA-256."""
    rows = site.rows(
        "select seq, sha256(body) from store.packet join registry.credential"
        " using (cred) where alias = %s",
        device.alias,
    )
    return {int(str(seq)): bytes(digest) for seq, digest in rows}  # type: ignore[call-overload]


def digests(packets: Iterable[bytes]) -> dict[int, bytes]:
    """Return what the database should hold, were *packets* all that was stored."""
    return {envelope.read(each).seq: sha256(each).digest() for each in packets}


def refused(site: Ward, device: Credential | None) -> dict[str, int]:
    """Return how many packets of *device*, None for nobody's, were refused, by word."""
    rows = site.rows(
        "select reason, sum(n) from store.refused r where r.cred = coalesce("
        "(select cred from registry.credential where alias = %s), 0) group by reason",
        device.alias if device else "",
    )
    return {str(reason): int(str(n)) for reason, n in rows}


def counted(site: Ward, word: str) -> int:
    """Return how often intake has refused a packet for *word*, by its metrics."""
    return site.counted("intake", f'packets_refused{{reason="{word}"}}')
