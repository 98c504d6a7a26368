"""The recorded orders, and what is said in them."""

from pathlib import Path

FOLDER = Path(__file__).parents[2] / "orders"

#: The text by the name of the recording.
ORDERS = {
    name: text for name, _voice, text in (line.split("\t") for line in (FOLDER / "orders.tsv").read_text().splitlines())
}


def path(name: str) -> Path:
    """The WAV file of an order."""
    return FOLDER / f"{name}.wav"
