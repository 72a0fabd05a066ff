"""Numbers drawn for users: the same for a user on every process, machine and Python."""

from __future__ import annotations

from hashlib import blake2b

_BITS = 52
"""With half a unit more these are exact in a float, and neither 0 nor 1."""
_RANGE = 1 << _BITS


class Draw:
    """A number for each user, uniform in (0, 1).

    It is (b + 1/2) / 2^52, where b is the first 52 bits of BLAKE2b, with a digest of 8 bytes and a personalization, of
    the parts of a text and the user's id in UTF-8, joined by NUL.

    Args:
        purpose: the personalization, at most 16 ASCII characters: draws of two purposes are independent.
        parts: so are those of other parts, none of which has a NUL.
    """

    def __init__(self, purpose: str, *parts: object) -> None:
        text = "".join(f"{part}\0" for part in parts)
        # Each hash begins with what is the same for all users.
        self._begun = blake2b(text.encode(), digest_size=8, person=purpose.encode())

    def of(self, user_id: str) -> float:
        """The user's number."""
        hashed = self._begun.copy()
        hashed.update(user_id.encode())
        bits = int.from_bytes(hashed.digest(), "big") >> (64 - _BITS)
        return (bits + 0.5) / _RANGE
