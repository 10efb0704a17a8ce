"""Topic names and filters (SPEC §1.1)."""

from __future__ import annotations

from .wire import Code, Fault

MAX_OCTETS = 65_535
MAX_LEVELS = 128


def _fits(text: str) -> bool:
    return 1 <= len(text.encode("utf-8")) <= MAX_OCTETS and text.count("/") < MAX_LEVELS


def is_topic(text: str) -> bool:
    """TOP-1."""
    return _fits(text) and "+" not in text and "#" not in text


def check_topic(text: str) -> str:
    """Returns the name, or closes with INVALID_TOPIC (TOP-1)."""
    if not is_topic(text):
        raise Fault(Code.INVALID_TOPIC, "not a topic name")
    return text


def shared(text: str) -> tuple[str | None, str]:
    """Splits ``$share/GROUP/FILTER``; the group is ``None`` for an ordinary filter (TOP-4)."""
    if not text.startswith("$share/"):
        return None, text
    _, group, *inner = text.split("/", 2)
    return group, inner[0] if inner else ""


def is_filter(text: str) -> bool:
    """TOP-2 and TOP-4."""
    if not _fits(text):
        return False
    group, inner = shared(text)
    if group is not None and (not group or "+" in group or "#" in group):
        return False
    levels = inner.split("/")
    if not inner or "#" in levels[:-1]:
        return False
    return all(level in ("+", "#") or not ("+" in level or "#" in level) for level in levels)


def matches(filter_text: str, topic: str) -> bool:
    """Whether a valid filter matches a valid topic name (TOP-2, TOP-3)."""
    wanted = shared(filter_text)[1].split("/")
    levels = topic.split("/")
    if wanted[0] in ("+", "#") and topic.startswith("$"):
        return False
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index >= len(levels) or level not in ("+", levels[index]):
            return False
    return len(wanted) == len(levels)
