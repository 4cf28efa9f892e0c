"""Brokers, one or three, each behind a proxy of its own."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from loadtest.faults.proxy import Proxy
from loadtest.faults.scenario import up
from tests.real_kafka import KafkaCluster, RealKafka, free_ports


@dataclass(frozen=True, slots=True)
class Field:
    """What faults can be done to; `nodes[i]` is reached through `proxies[i]`."""

    nodes: Sequence[RealKafka]
    proxies: Sequence[Proxy]

    @property
    def direct(self) -> str:
        """Bootstrap servers of who is spared the network's faults."""
        return ",".join(node.bootstrap for node in self.nodes)

    @property
    def servers(self) -> str:
        """Bootstrap servers of who is not."""
        return ",".join(f"127.0.0.1:{proxy.port}" for proxy in self.proxies)


@contextmanager
def field(folder: Path, nodes: int) -> Iterator[Field]:
    """Have one node, or a cluster of three, for as long as the block lasts."""
    ports = free_ports(nodes)
    with ExitStack() as stack:
        if nodes == 1:
            node = RealKafka(folder, proxy_port=ports[0])
            stack.enter_context(up(node))
            made: Sequence[RealKafka] = [node]
        else:
            cluster = KafkaCluster(folder)
            made = cluster.nodes
            for number, port in enumerate(ports, 1):
                _put_behind(folder / str(number) / "server.properties", made[number - 1], port)
            stack.enter_context(up(cluster))
        proxies = [
            stack.enter_context(Proxy(port, each.hidden_port))
            for port, each in zip(ports, made, strict=True)
        ]
        yield Field(made, proxies)


def _put_behind(properties: Path, node: RealKafka, proxy_port: int) -> None:
    """Add a listener to a node of a cluster whose clients are told to come to its proxy."""
    lines = dict(line.split("=", 1) for line in properties.read_text().splitlines())
    listeners = lines["listeners"].split(",")
    told = [each for each in listeners if not each.startswith("CONTROLLER:")]
    kinds = lines["listener.security.protocol.map"]
    lines |= {
        "listeners": ",".join([*listeners, f"PROXIED://127.0.0.1:{node.hidden_port}"]),
        "advertised.listeners": ",".join([*told, f"PROXIED://127.0.0.1:{proxy_port}"]),
        "listener.security.protocol.map": f"{kinds},PROXIED:PLAINTEXT",
    }
    properties.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
