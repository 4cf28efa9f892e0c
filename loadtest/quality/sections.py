"""Every section by its name, in the order in which they are published."""

from collections.abc import Mapping

from loadtest.quality import (
    cost,
    delayed,
    dependence,
    discrete,
    fleet,
    lasting,
    logs,
    nulls,
    recorded,
    registered,
)
from loadtest.quality.plan import Section

SECTIONS: Mapping[str, Section] = {
    section.name: section
    for section in (
        *nulls.SECTIONS,
        *delayed.SECTIONS,
        *discrete.SECTIONS,
        *dependence.SECTIONS,
        *recorded.SECTIONS,
        *logs.SECTIONS,
        *lasting.SECTIONS,
        *registered.SECTIONS,
        *fleet.SECTIONS,
        *cost.SECTIONS,
    )
}
