"""SCRAM-SHA-256 without channel binding (RFC 5802, RFC 7677), both sides; SPEC §4.3, method 3."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import stringprep
import unicodedata
from dataclasses import dataclass

GS2_HEADER = "n,,"
MIN_ITERATIONS = 4_096
"""RFC 7677 §4: fewer are too weak."""

MAX_ITERATIONS = 1_000_000
"""A server must not be able to keep a client busy for minutes."""


class ScramError(Exception):
    """The exchange failed: close with AUTH_FAILED."""


def nonce(entropy: bytes) -> str:
    """Printable, without a comma."""
    return base64.b64encode(entropy).decode("ascii")


def saslprep(text: str) -> str:
    """RFC 4013, for stored strings."""
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char for char in text if not stringprep.in_table_b1(char)
    )
    normal = unicodedata.normalize("NFKC", mapped)
    prohibited = (
        stringprep.in_table_c12, stringprep.in_table_c21_c22, stringprep.in_table_c3, stringprep.in_table_c4,
        stringprep.in_table_c5, stringprep.in_table_c6, stringprep.in_table_c7, stringprep.in_table_c8,
        stringprep.in_table_c9, stringprep.in_table_a1,
    )  # fmt: skip
    if any(table(char) for char in normal for table in prohibited):
        raise ScramError("a character that SASLprep prohibits")
    right_to_left = [stringprep.in_table_d1(char) for char in normal]
    if any(right_to_left):
        mixed = any(stringprep.in_table_d2(char) for char in normal)
        if mixed or not (right_to_left[0] and right_to_left[-1]):
            raise ScramError("text that mixes directions")
    return normal


def _hmac(key: bytes, text: bytes) -> bytes:
    return hmac.digest(key, text, "sha256")


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def _unbase64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ScramError("not base64") from None


def _attributes(text: str, *names: str) -> list[str]:
    """The values of ``a=1,b=2``; the names must come first, in this order."""
    parts = text.split(",")
    if len(parts) < len(names) or any(not p.startswith(n + "=") for p, n in zip(parts, names, strict=False)):
        raise ScramError(f"attributes {', '.join(names)} are missing")
    return [part[2:] for part in parts[: len(names)]]


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise ScramError("not UTF-8") from None


class Client:
    """The client's side: ``first``, ``final``, ``verify``."""

    def __init__(self, user: str, password: str, client_nonce: str) -> None:
        name = saslprep(user).replace("=", "=3D").replace(",", "=2C")
        self._bare = f"n={name},r={client_nonce}"
        self._nonce = client_nonce
        self._password = saslprep(password).encode("utf-8")
        self._signature: bytes | None = None

    def first(self) -> bytes:
        """client-first-message."""
        return (GS2_HEADER + self._bare).encode("utf-8")

    def final(self, server_first: bytes) -> bytes:
        """client-final-message, for a server-first-message."""
        text = _text(server_first)
        both_nonces, salt, count = _attributes(text, "r", "s", "i")
        if not both_nonces.startswith(self._nonce) or both_nonces == self._nonce:
            raise ScramError("the server's nonce does not continue ours")
        if not count.isascii() or not count.isdigit() or not MIN_ITERATIONS <= int(count) <= MAX_ITERATIONS:
            raise ScramError(f"iterations outside {MIN_ITERATIONS} to {MAX_ITERATIONS}")
        salted = hashlib.pbkdf2_hmac("sha256", self._password, _unbase64(salt), int(count))
        client_key = _hmac(salted, b"Client Key")
        without_proof = f"c={nonce(GS2_HEADER.encode())},r={both_nonces}"
        message = f"{self._bare},{text},{without_proof}".encode()
        proof = _xor(client_key, _hmac(hashlib.sha256(client_key).digest(), message))
        self._signature = _hmac(_hmac(salted, b"Server Key"), message)
        return f"{without_proof},p={nonce(proof)}".encode()

    def verify(self, server_final: bytes) -> None:
        """server-final-message: the server knows the password too (AUT-3)."""
        (signature,) = _attributes(_text(server_final), "v")
        if self._signature is None or not hmac.compare_digest(_unbase64(signature), self._signature):
            raise ScramError("the server's signature is wrong")


@dataclass(frozen=True)
class Verifier:
    """What a server stores of a password."""

    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes

    @classmethod
    def of(cls, password: str, salt: bytes, iterations: int = MIN_ITERATIONS) -> Verifier:
        """Derives the keys."""
        salted = hashlib.pbkdf2_hmac("sha256", saslprep(password).encode("utf-8"), salt, iterations)
        stored = hashlib.sha256(_hmac(salted, b"Client Key")).digest()
        return cls(salt, iterations, stored, _hmac(salted, b"Server Key"))


def parse_first(data: bytes) -> tuple[str, str, str]:
    """User, nonce and bare message of a client-first-message."""
    text = _text(data)
    if not text.startswith(GS2_HEADER):
        raise ScramError("the gs2 header is not n,,")
    bare = text[len(GS2_HEADER) :]
    name, client_nonce = _attributes(bare, "n", "r")
    if not name or not client_nonce or "=" in name.replace("=2C", "").replace("=3D", ""):
        raise ScramError("no user, or no nonce")
    return name.replace("=2C", ",").replace("=3D", "="), client_nonce, bare


class Server:
    """The server's side: ``first``, ``final``."""

    def __init__(self, verifier: Verifier, client_first: bytes, server_nonce: str) -> None:
        self.user, client_nonce, self._client_bare = parse_first(client_first)
        self._verifier = verifier
        self._nonce = client_nonce + server_nonce
        self._first = f"r={self._nonce},s={nonce(verifier.salt)},i={verifier.iterations}"

    def first(self) -> bytes:
        """server-first-message."""
        return self._first.encode()

    def final(self, client_final: bytes) -> bytes:
        """Checks the proof; server-final-message."""
        text = _text(client_final)
        without_proof, _, proof = text.rpartition(",p=")
        binding, both_nonces = _attributes(without_proof, "c", "r")
        if binding != nonce(GS2_HEADER.encode()) or both_nonces != self._nonce:
            raise ScramError("another binding or nonce")
        message = f"{self._client_bare},{self._first},{without_proof}".encode()
        given = _unbase64(proof)
        if len(given) != 32:
            raise ScramError("the proof is wrong")
        client_key = _xor(given, _hmac(self._verifier.stored_key, message))
        if not hmac.compare_digest(hashlib.sha256(client_key).digest(), self._verifier.stored_key):
            raise ScramError("the proof is wrong")
        return f"v={nonce(_hmac(self._verifier.server_key, message))}".encode()
