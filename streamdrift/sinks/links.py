"""Where people find more about an incident."""

from urllib.parse import quote

from streamdrift.alert_documents import Published

_PLACES = ("{incident}", "{model}", "{version}")


def checked_link(link: str | None) -> str | None:
    """Return a link; raise ValueError where it is none, or is the same for all incidents."""
    if link is not None:
        if not link.startswith(("http://", "https://")):
            raise ValueError("must be an address such as https://host/incidents/{incident}")
        if not any(place in link for place in _PLACES):
            raise ValueError(f"must have one of {', '.join(_PLACES)} in it")
    return link


def link_to(link: str | None, published: Published) -> str | None:
    """Return the link to an incident, None where there is none."""
    if link is None:
        return None
    values = (published.incident, published.model, published.version)
    for place, value in zip(_PLACES, values, strict=True):
        link = link.replace(place, quote(value, safe=""))
    return link
