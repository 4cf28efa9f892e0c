"""What a signal's normal looks like, how it is found in a reference, and how it goes on learning.

A numeric signal's *front* takes off what its past, its cycles and the calendar let expect; its
*urn* ranks what is left.
"""

from streamdrift.references.findings import Code, Finding, in_words
from streamdrift.references.front import Fitted, Front, fit

__all__ = ["Code", "Finding", "Fitted", "Front", "fit", "in_words"]
