"""Which operators' commands a monitor has taken, each once, and what it tells of them."""

from streamdrift.operators import Asked, Command
from streamdrift.records import Notice, State
from streamdrift.trees import integer, lists

_OBEYED = 128
_EFFECTS = {
    Asked.ACKNOWLEDGE: "the incident bears who looks after it",
    Asked.RESOLVE: "its signals are watched again",
    Asked.ACCEPT: "its signals become normal once they have shown enough values",
    Asked.EXPECT: "incidents that begin meanwhile page nobody",
    Asked.WITHDRAW: "incidents that begin from now on page again",
}


class TakenCommands:
    """The commands that were taken, all of them by their places, the last ones by their ids."""

    def __init__(self) -> None:
        self.last = -1
        """The place, among all commands, of the last one that was taken."""
        self._obeyed: list[tuple[int, str, str]] = []
        """Place, id and model of those that were obeyed last."""

    def take(self, place: int, command: Command) -> bool:
        """Take the command at a place; tell whether it is to be obeyed, as one that is new."""
        if place <= self.last:
            return False
        self.last = place
        if any(command.id == known for _, known, _ in self._obeyed):
            return False  # Its topic was made anew, and is read from its beginning.
        self._obeyed = [*self._obeyed, (place, command.id, command.model)][-_OBEYED:]
        return True

    def pass_over(self, place: int) -> None:
        """Learn that nobody has to take the commands up to a place any more, or that never did."""
        self.last = max(self.last, place)

    def snapshot(self) -> State:
        """Return the place of the last, and those that are known by their ids."""
        return {"commanded": self.last, "obeyed": [list(each) for each in self._obeyed]}

    def restore(self, state: State) -> None:
        """Take over what `snapshot` returned."""
        self.last = integer(state, "commanded")
        self._obeyed = [(place, known, model) for place, known, model in lists(state, "obeyed")]


def obeyed(command: Command, *, seen: bool) -> Notice:
    """Return the notice of a command that is done; `seen` says whether its model still sends."""
    effect = _EFFECTS[command.kind]
    if not seen:
        effect += "; no event of this model was seen lately"
    return _taken(command, effect)


def in_vain(command: Command, lacking: str) -> Notice:
    """Return the notice of a command that has no effect, and of what it lacks."""
    return _taken(command, f"nothing: {lacking}")


def _taken(command: Command, effect: str) -> Notice:
    fields = {"command": command.kind.value, "id": command.id, "by": command.by, "effect": effect}
    if command.incident:
        fields["incident"] = command.incident
    return Notice("command taken", command.model, command.version, fields)
