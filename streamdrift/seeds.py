"""Seeds of the coins in the core: a function of what is tossed for, so the same in every run."""

from hashlib import blake2b


def seed_of(*names: str) -> int:
    """Return the seed of what has these names, together its own."""
    text = "\0".join(names).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=7).digest(), "little")
