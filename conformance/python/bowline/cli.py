"""A small command line client: ``python3 -m bowline.cli --connect 127.0.0.1:7474 sub 'a/#'``."""

from __future__ import annotations

import argparse
import getpass
import sys

from .client import Client, Credentials, Disconnected, Refused
from .link import Blocked, Misuse
from .wire import Method


RETAINED = ("all", "new", "never")
"""Retained values to begin with, by their numbers in SUBSCRIBE."""


def build_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(prog="bowline.cli", description="Speaks the Bowline session protocol.")
    parser.add_argument("--connect", required=True, metavar="ADDRESS", help="host:port, or unix:/path/to/socket")
    parser.add_argument("--user", help="authenticate with this user, and a password that is asked for")
    parser.add_argument("--password", help="the password (seen by other users of this machine; better leave it out)")
    parser.add_argument("--plain", action="store_true", help="send the password itself instead of SCRAM-SHA-256")
    parser.add_argument("--token", help="authenticate with this token")
    parser.add_argument("--insecure", action="store_true", help="allow --plain and --token over a network")
    parser.add_argument("--timeout", type=float, default=10.0, metavar="SECONDS", help="how long to wait (default 10)")
    commands = parser.add_subparsers(dest="command", required=True)
    pub = commands.add_parser("pub", help="publish a message")
    pub.add_argument("topic")
    pub.add_argument("payload")
    pub.add_argument("--reliable", action="store_true", help="at least once: wait for the acknowledgement")
    pub.add_argument("--retain", "-r", action="store_true", help="let the topic keep it; an empty one clears")
    sub = commands.add_parser("sub", help="print the messages that match a filter, a line each")
    sub.add_argument("filter")
    sub.add_argument("--reliable", action="store_true", help="at least once")
    sub.add_argument("--retained", choices=RETAINED, default="all", help="which values that topics keep to begin with")
    sub.add_argument("--count", type=int, help="end after so many messages")
    req = commands.add_parser("req", help="send a request and print the answer")
    req.add_argument("topic")
    req.add_argument("payload")
    req.add_argument("--many", action="store_true", help="ask all responders")
    commands.add_parser("ping", help="measure the round-trip time")
    return parser


def credentials(options: argparse.Namespace) -> Credentials:
    """Who the user is."""
    if options.token is not None:
        return Credentials(Method.TOKEN, token=options.token.encode("utf-8"))
    if options.user is None:
        return Credentials()
    password = options.password if options.password is not None else getpass.getpass()
    return Credentials(Method.PASSWORD if options.plain else Method.SCRAM, options.user, password)


def subscribe(client: Client, options: argparse.Namespace) -> None:
    """Prints messages; goes on after a cut."""
    client.subscribe(options.filter, quality=int(options.reliable), retained=RETAINED.index(options.retained))
    seen = 0
    while options.count is None or seen < options.count:
        try:
            message = client.next_message()
        except Disconnected as lost:
            print(f"{lost}; connecting again", file=sys.stderr)
            client.resume()
            continue
        if message is not None:
            seen += 1
            print(f"{message.topic} {message.payload.decode('utf-8', 'replace')}", flush=True)


def run(client: Client, options: argparse.Namespace) -> None:
    """One command."""
    match options.command:
        case "pub":
            client.publish(options.topic, options.payload.encode("utf-8"), options.reliable, retain=options.retain)
        case "sub":
            subscribe(client, options)
        case "req" if options.many:
            answers, status = client.request_many(options.topic, options.payload.encode("utf-8"), options.timeout)
            for answer in answers:
                print(f"{answer.status} {answer.payload.decode('utf-8', 'replace')}")
            if status:
                raise Refused(status, "")
        case "req":
            reply = client.request(options.topic, options.payload.encode("utf-8"), options.timeout)
            print(reply.decode("utf-8", "replace"))
        case "ping":
            print(f"{client.ping() * 1000:.3f} ms")


def main(arguments: list[str] | None = None) -> int:
    """Returns 0, or 1 when the server or the network said no."""
    options = build_parser().parse_args(arguments)
    client = Client(
        options.connect, credentials(options), insecure=options.insecure, timeout=options.timeout,
        expiry_ms=60_000 if options.command == "sub" else 0, name="bowline.cli",
    )  # fmt: skip
    try:
        with client:
            run(client, options)
    except KeyboardInterrupt:
        return 0
    except Blocked:
        print("bowline.cli: the server is draining", file=sys.stderr)
        return 1
    except (OSError, Refused, Misuse) as error:
        print(f"bowline.cli: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
