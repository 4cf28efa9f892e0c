"""Parts of the command line: the options that commands share, and groups of commands."""
