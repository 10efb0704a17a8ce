"""SCRAM-SHA-256: RFC 7677's example, and what must fail."""

from __future__ import annotations

import base64
import unittest

from bowline import scram

CLIENT_NONCE = "rOprNGfwEbeRWgbNEkqO"
SERVER_NONCE = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
CLIENT_FIRST = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
SERVER_FIRST = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
CLIENT_FINAL = (
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
)
SERVER_FINAL = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


class Rfc7677(unittest.TestCase):
    def test_client(self) -> None:
        client = scram.Client("user", "pencil", CLIENT_NONCE)
        self.assertEqual(client.first(), CLIENT_FIRST)
        self.assertEqual(client.final(SERVER_FIRST), CLIENT_FINAL)
        client.verify(SERVER_FINAL)

    def test_server(self) -> None:
        server = scram.Server(scram.Verifier.of("pencil", SALT), CLIENT_FIRST, SERVER_NONCE)
        self.assertEqual(server.first(), SERVER_FIRST)
        self.assertEqual(server.final(CLIENT_FINAL), SERVER_FINAL)


class Failures(unittest.TestCase):
    def test_client_distrusts(self) -> None:
        for first in (
            b"", b"\xff", b"r=other,s=W22Z,i=4096", CLIENT_FIRST, SERVER_FIRST.replace(b"4096", b"4095"),
            SERVER_FIRST.replace(b"4096", b"99999999"), SERVER_FIRST.replace(b"s=W", b"s=!"),
            b"r=rOprNGfwEbeRWgbNEkqO,s=W22Z,i=4096",
        ):  # fmt: skip
            with self.subTest(first=first), self.assertRaises(scram.ScramError):
                scram.Client("user", "pencil", CLIENT_NONCE).final(first)

    def test_wrong_signature(self) -> None:
        client = scram.Client("user", "pencil", CLIENT_NONCE)
        with self.assertRaises(scram.ScramError):
            client.verify(SERVER_FINAL)
        client.final(SERVER_FIRST)
        for final in (b"", b"e=other-error", SERVER_FINAL.replace(b"6", b"7"), b"v=!"):
            with self.assertRaises(scram.ScramError):
                client.verify(final)

    def test_wrong_password(self) -> None:
        client = scram.Client("user", "pencils", CLIENT_NONCE)
        server = scram.Server(scram.Verifier.of("pencil", SALT), client.first(), SERVER_NONCE)
        with self.assertRaises(scram.ScramError):
            server.final(client.final(server.first()))

    def test_forms(self) -> None:
        for first in (b"", b"y,,n=u,r=x", b"n,a=z,n=u,r=x", b"n,,r=x,n=u", b"n,,n=,r=x", b"n,,n=a=b,r=x", b"n,,n=u,r="):
            with self.subTest(first=first), self.assertRaises(scram.ScramError):
                scram.parse_first(first)
        name = scram.Client("a,b=c", "x", "n").first()
        self.assertEqual(scram.parse_first(name)[0], "a,b=c")

    def test_saslprep(self) -> None:
        """RFC 4013 §3."""
        self.assertEqual(scram.saslprep("I\u00adX"), "IX")
        self.assertEqual(scram.saslprep("\u00aa"), "a")
        self.assertEqual(scram.saslprep("\u2168"), "IX")
        for text in ("\u0007", "\u0627\u0031"):
            with self.assertRaises(scram.ScramError):
                scram.saslprep(text)


if __name__ == "__main__":
    unittest.main()
