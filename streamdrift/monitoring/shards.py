"""Which shard of the state a part of a model belongs to."""

from hashlib import blake2b

MAX_SHARDS = 1_024


def shard_of(model: str, group: int, shards: int) -> int:
    """Return the shard, of so many, that watches a group of a model's columns.

    The same on every machine and in every version: it decides where state is looked for.
    """
    name = f"{model}\0{group}".encode(errors="surrogatepass")
    return int.from_bytes(blake2b(name, digest_size=8).digest()) % shards
