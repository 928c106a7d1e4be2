"""TLS 1.3 with the right server, or nothing at all."""

import asyncio
import ssl
from pathlib import Path

import pytest
from tests.support.pki import SERVER, Pki, pin

from sealward.wire import tls
from sealward.wire.tls import Identity, PinError

Outcome = tuple[str | None, bytes]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Return a set of certificates."""
    return Pki(tmp_path_factory.mktemp("pki"))


async def speak(server: Identity, client: ssl.SSLContext, name: str) -> Outcome:
    """Say hello to *server* as *name*; return the TLS version and what it heard."""
    heard: list[bytes] = []
    done = asyncio.Event()

    async def listen(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        heard.append(await reader.read(100))
        writer.close()
        done.set()

    listening = await asyncio.start_server(
        listen, "127.0.0.1", 0, ssl=tls.server(server)
    )
    port = listening.sockets[0].getsockname()[1]
    try:
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client, server_hostname=name
        )
        version = writer.get_extra_info("ssl_object").version()
        writer.write(b"hello")
        await asyncio.wait_for(done.wait(), 5)
        writer.close()
        return version, heard[0]
    finally:
        listening.close()


def run(server: Identity, client: ssl.SSLContext, name: str = "localhost") -> Outcome:
    """Speak."""
    return asyncio.run(speak(server, client, name))


def test_both_prove_themselves(pki: Pki) -> None:
    """TLS 1.3, and the pin matches."""
    device = pki.services.identity("device")
    client = tls.client(device, pins=[bytes(32), pin(pki.server)])
    assert run(pki.server, client) == ("TLSv1.3", b"hello")


def test_another_name_is_another_server(pki: Pki) -> None:
    """The certificate must name whom we called."""
    client = tls.client(pki.service("x"))
    with pytest.raises(ssl.SSLCertVerificationError):
        run(pki.server, client, "elsewhere")


def test_another_authoritys_server_is_a_stranger(pki: Pki) -> None:
    """The system's authorities do not count, and neither does anyone else's."""
    stranger = pki.strangers.identity("localhost", usage=SERVER)
    with pytest.raises(ssl.SSLCertVerificationError):
        run(stranger, tls.client(pki.service("x")))


def test_our_authoritys_server_with_another_key_is_not_pinned(pki: Pki) -> None:
    """And not a byte is said to it."""
    other = pki.services.identity("localhost", usage=SERVER)
    with pytest.raises(PinError) as refused:
        run(other, tls.client(pki.service("x"), pins=[pin(pki.server)]))
    assert refused.value.reason == "pin"
    assert isinstance(refused.value, ssl.SSLError)


def test_a_client_of_tls_1_2_is_refused(pki: Pki) -> None:
    """There is no older version to fall back to."""
    client = tls.client(pki.service("x"))
    assert client.minimum_version is ssl.TLSVersion.TLSv1_3
    old = ssl.create_default_context(cafile=pki.services.path)
    identity = pki.service("x")
    old.load_cert_chain(identity.certificate, identity.key)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(OSError, match=r".*"):
        run(pki.server, old)


def test_a_pin_is_of_the_key_not_of_the_certificate(pki: Pki) -> None:
    """A renewed certificate keeps its pin."""
    der = ssl.PEM_cert_to_DER_cert(pki.server.certificate.read_text())
    tls.check_pin(der, [pin(pki.server)])
    for pins in ([], [bytes(32)]):
        with pytest.raises(PinError):
            tls.check_pin(der, pins)
    with pytest.raises(PinError):
        tls.check_pin(b"", [bytes(32)])


def test_a_missing_file_is_named(pki: Pki, tmp_path: Path) -> None:
    """Before anything is said."""
    gone = Identity(
        certificate=tmp_path / "absent",
        key=pki.server.key,
        authority=pki.server.authority,
    )
    with pytest.raises(FileNotFoundError):
        tls.client(gone)
