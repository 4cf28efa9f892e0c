"""What a numeric signal's normal looks like beyond its distribution, found in a reference."""

from streamdrift.references.findings import Code, Finding, in_words
from streamdrift.references.front import Fitted, Front, fit

__all__ = ["Code", "Finding", "Fitted", "Front", "fit", "in_words"]
