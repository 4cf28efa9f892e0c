"""What is wrong with values that pydantic refuses, in a few words."""

from pydantic import ValidationError


def first_mistake(error: ValidationError, whole: str = "") -> str:
    """Return the first mistake with its place, that of all values being the `whole`."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"])) or whole
    return f"{place}: {first['msg']}" if place else first["msg"]
