"""The report as one HTML page that needs nothing else: no network, no font, no script of others."""

import unicodedata
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

import streamdrift
from streamdrift.reporting.report import Report


def render(report: Report) -> bytes:
    """Return the page, UTF-8: the same bytes for the same report.

    Names and categories come from the stream. Everything that is put into the page is escaped,
    and characters that are none of a text, or change the direction of what follows, are replaced.
    """
    page = _environment().get_template("report.html")
    text = page.render(report=report, version=streamdrift.__version__)
    return text.encode()


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("streamdrift.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_plain,
    )


def _plain(value: object) -> object:
    """Return what is to be shown, with a mark in the place of what cannot be."""
    # Markup, which only templates make, is a text of its own type.
    if type(value) is not str or value.isprintable():
        return value
    return "".join(_shown(each) for each in value)


def _shown(character: str) -> str:
    """Return a character, or a mark for controls, formats and halves of pairs."""
    return "\N{REPLACEMENT CHARACTER}" if unicodedata.category(character)[0] == "C" else character
