"""The demo: everything at once, on an embedded broker, with drift injected at known times."""
