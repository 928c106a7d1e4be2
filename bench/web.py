"""An HTTPS server that takes packets and answers nothing but that it has.

Started with its certificate, key and the authority of clients; says its port. Without
Python's ``Server`` and ``Date`` headers, and without the two session tickets that
OpenSSL sends, some 700 bytes each on a new connection and of no use to a client that
does not resume: a rival is to be at its best.
"""

import ssl
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread


class Take(BaseHTTPRequestHandler):
    """Reads a packet."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        """Answer 204: no content."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response_only(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main(certificate: str, key: str, authority: str) -> None:
    """Serve until standard input ends, as it does when our parent is killed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.num_tickets = 0
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(authority)
    server = HTTPServer(("127.0.0.1", 0), Take)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    print(server.server_address[1], flush=True)
    Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
