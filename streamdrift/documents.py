"""JSON documents as producers write them, which is not always JSON."""

import json

import orjson


def parse(value: bytes) -> object:
    """Return the document in `value`; raise ValueError that says what is wrong where it is none.

    NaN and Infinity are no JSON, nor are numbers beyond 64 bits to orjson, but common.

    >>> parse(b'{"age": NaN}')
    {'age': nan}
    """
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as error:
        fault = str(error)
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise ValueError(fault) from None
