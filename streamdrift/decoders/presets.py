"""Mappings that formats begin with: what the settings say lies over them, part by part."""

from streamdrift.decoders.mapping import MappingSettings


def over(preset: MappingSettings, given: MappingSettings) -> MappingSettings:
    """Return a format's own mapping, with what the settings give in place of parts of it."""
    return preset.model_copy(update={name: getattr(given, name) for name in given.model_fields_set})
