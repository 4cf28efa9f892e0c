"""Text of strangers, as people may be shown it: names in a stream are any text.

A terminal takes control characters for commands (it recolours, retitles, moves and deletes), and
what turns the direction of writing makes a line look like another one.
"""


def plain(text: str) -> str:
    r"""Return text in which whatever is no letter that shows, nor a space, is an escape.

    >>> plain("x\x1b[31m"), plain("a\u202eb\nc"), plain("Zoë 雪")
    ('x\\x1b[31m', 'a\\u202eb\\nc', 'Zoë 雪')
    """
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )
