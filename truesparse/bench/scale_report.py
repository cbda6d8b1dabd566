"""What ``truesparse bench scale`` prints."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from truesparse.bench.environment import Record
from truesparse.bench.network import DELAYED, MODELLED, NETWORKS
from truesparse.bench.scale import cost
from truesparse.bench.tables import new_table, three_digits, two_places


def scale_tables(records: Sequence[Record]) -> list[Table]:
    """Return what was measured on this machine, and what the model says of machines on a network."""
    measured = new_table(
        "Ranks of this machine, a batch each", ["density", "ranks", "ms", "efficiency", "MB a step"]
    )
    for record in records:
        measured.add_row(
            f"{record['density']:g}",
            str(record["ranks"]),
            three_digits(record["ms"]),
            two_places(record["efficiency"]),
            three_digits(record["bytes"] / 1e6),
        )
    model = new_table(
        "Modelled efficiency of machines on a network, bf16",
        ["density", "network", "way", *(f"{ranks} ranks" for ranks in MODELLED)],
    )
    for record in records:
        for network, ways in record.get("modelled", {}).items():
            for way, values in ways.items():
                model.add_row(f"{record['density']:g}", network, way, *map(two_places, values))
    return [measured, model]


def scale_lines(records: Sequence[Record]) -> list[str]:
    """Name the sizes, and say how good the model is."""
    sizes = records[0]["sizes"]
    lines = [
        f"training steps of a {sizes['layers']}-layer LSTM language model of {sizes['hidden_size']} units,"
        f" vocabulary {sizes['vocab_size']:,}, {sizes['batch_size']} sequences a rank,"
        f" {sizes['bptt']} steps",
        "modelled: "
        + ", ".join(
            f"{name} {network.bandwidth / 1e9:g} GB/s and {1e6 * network.latency:g} µs"
            for name, network in NETWORKS.items()
        )
        + f"; machines that compute {records[0]['machine_speed']} times as fast as a rank here",
    ]
    for record in records:
        if record["ranks"] > 1:
            late = 1000 * cost(record).exchange(NETWORKS[DELAYED], record["ranks"])
            lines.append(
                f"{record['ranks']} ranks that wait as long as on {DELAYED} take"
                f" {three_digits(record['delayed_ms'])} ms a step at density {record['density']:g}, modelled"
                f" {three_digits(record['ms'] + late)}; {three_digits(record['blocking_ms'])} and"
                f" {three_digits(record['ms'] + record['wait_ms'])} without overlap"
            )
    return lines
