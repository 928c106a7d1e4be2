"""A gateway in the hands of an attacker: real credential, any bytes."""

import asyncio
import ssl
from collections.abc import Coroutine
from pathlib import Path
from typing import TypeVar

from tests.support.mqtt_client import Client
from tests.support.site import Ward

from sealward import clock
from sealward.bedside.credential import Credential, Keeper
from sealward.seal import envelope
from sealward.seal.envelope import Kind
from sealward.wire import tls

Result = TypeVar("Result")
DAY = 86_400


def enrolled(site: Ward, folder: Path) -> Credential:
    """Return the credential of a new gateway in *folder*, at a new patient's bed."""
    (patient,) = site.enrol(1)
    keeper = Keeper(folder, site.site.root / "custody/desk.sock")

    async def attach() -> Credential:
        await keeper.attach(0, patient.uid)
        now = clock.now()
        return await keeper.credential(0, now, int(now.timestamp()) // DAY)

    # The patient that enrolment made has a gateway already; another bed is his too.
    return run(attach())


def run(work: Coroutine[object, object, Result]) -> Result:
    """Run *work* to its end."""
    return asyncio.run(work)


def context(credential: Credential) -> ssl.SSLContext:
    """Return the TLS context by which *credential* connects."""
    return tls.client(credential.identity)


def signed(
    credential: Credential, seq: int, *, body: bytes = bytes(40), kid: bytes = b"kid1"
) -> bytes:
    """Return a signed vitals packet of now; its body is sealed by nobody."""
    seconds = int(clock.now().timestamp())
    epoch, slot = seconds // DAY, seconds % DAY // 10
    return envelope.seal_packet(
        credential.key, credential.alias, kid, Kind.VITALS, seq, slot, epoch, body
    )


async def dial(
    site: Ward, credential: Credential, client_id: str | None = None
) -> Client:
    """Connect as *credential*, by its own client id or by another's."""
    broker = site.site.broker
    assert broker is not None
    name = client_id or credential.alias
    return await Client.dial(broker.mqtt_port, context(credential), name)


def forged(packet: bytes) -> bytes:
    """Return *packet* with one bit of its signature changed."""
    return packet[:-1] + bytes([packet[-1] ^ 1])
