"""Topics that live as long as a test."""

from streamdrift.kafka.clients import KafkaSettings, make_admin


class TopicMaker:
    """Called with a connection, a name and options of the topic; returns the name."""

    def __init__(self) -> None:
        self._made: list[tuple[KafkaSettings, str]] = []

    def __call__(
        self,
        connection: KafkaSettings,
        name: str,
        partitions: int = 1,
        configs: dict[str, str] | None = None,
    ) -> str:
        admin = make_admin(connection)
        admin.create_topics(
            {
                name: {
                    "num_partitions": partitions,
                    "replication_factor": 1,
                    "configs": configs or {},
                }
            },
            wait_for_metadata=True,
        )
        admin.close()
        self.made(connection, name)
        return name

    def made(self, connection: KafkaSettings, *names: str) -> None:
        """Take care of topics that the test made itself."""
        self._made += [(connection, name) for name in names]

    def remove(self) -> None:
        for connection, name in self._made:
            admin = make_admin(connection)
            admin.delete_topics([name], raise_errors=False)
            admin.close()
