"""JSON documents as producers write them, which is not always JSON."""

import json
import re

import orjson

_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)"
)
"""An escape in a JSON text, or a surrogate pair of two; group 1 where it is only half of one."""


class HalfPairError(ValueError):
    """A document holds half of a surrogate pair, which is no text in any encoding."""


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
        text = value.decode("utf-8-sig")
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(fault) from None
    half = next((escape[0] for escape in _ESCAPE.finditer(text) if escape[1]), None)
    if half is not None:
        raise HalfPairError(f"found {half}")
    return document
