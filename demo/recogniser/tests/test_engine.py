"""Recognition of real audio, and of what is none."""

import math
import random
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from orders import ORDERS, path

from recogniser.engine import CHUNK_BYTES, MAX_SECONDS, SAMPLE_RATE_HZ, Recognition, recognise
from recogniser.errors import BadAudio, NoSpeech, TooLong
from recogniser.wav import chunks, read


def samples(seconds: float, value: Callable[[int], float]) -> list[bytes]:
    count = int(seconds * SAMPLE_RATE_HZ)
    return chunks(struct.pack(f"<{count}h", *(int(value(at)) for at in range(count))))


def test_there_are_five_orders() -> None:
    assert len(ORDERS) == 5
    assert all(path(name).stat().st_size < 120_000 for name in ORDERS)


@pytest.mark.parametrize("name", ORDERS)
def test_each_order_is_recognised_word_by_word(name: str) -> None:
    partials: list[str] = []
    pieces = chunks(read(path(name)))
    assert {len(piece) for piece in pieces[:-1]} == {CHUNK_BYTES}
    assert recognise(pieces, partials.append) == ORDERS[name]
    # The text grows while the order is spoken: it has not begun with the whole, and each text was a new one.
    assert len(partials) >= 4
    assert partials[0] in ("a", ORDERS[name].split()[0])
    assert all(before != after for before, after in pairwise(partials))


def test_an_order_does_not_depend_on_how_it_is_cut() -> None:
    audio = read(path("soup"))
    for size in (320, 1282, len(audio)):
        assert recognise([audio[at : at + size] for at in range(0, len(audio), size)]) == ORDERS["soup"]


def test_orders_in_several_threads_do_not_mix() -> None:
    with ThreadPoolExecutor(4) as pool:
        texts = list(pool.map(lambda name: recognise(chunks(read(path(name)))), [*ORDERS, *ORDERS]))
    assert texts == [*ORDERS.values(), *ORDERS.values()]


@pytest.mark.parametrize(
    ("what", "audio"),
    [
        ("nothing", []),
        ("an empty chunk", [b""]),
        ("silence", samples(2, lambda _: 0)),
        ("a tone", samples(2, lambda at: 8000 * math.sin(2 * math.pi * 440 * at / SAMPLE_RATE_HZ))),
        ("random bytes", chunks(random.Random(1).randbytes(64_000))),
        ("text", [b"GET / HTTP/1.1\r\nHost: example\r\n\r\n" * 40]),
        ("half an order", chunks(read(path("pizza")))[:18]),
    ],
)
def test_garbage_is_no_speech(what: str, audio: list[bytes]) -> None:
    with pytest.raises(NoSpeech, match=r"no order was recognised in (no|\d\.\d s of) audio"):
        recognise(audio)


def test_half_a_sample_is_refused() -> None:
    recognition = Recognition()
    with pytest.raises(BadAudio, match="1279 bytes are not a whole number of 16-bit samples"):
        recognition.feed(bytes(CHUNK_BYTES - 1))


def test_an_endless_order_is_refused() -> None:
    recognition = Recognition()
    second = bytes(2 * SAMPLE_RATE_HZ)
    for _ in range(MAX_SECONDS):
        recognition.feed(second)
    with pytest.raises(TooLong, match="may take 30 seconds"):
        recognition.feed(second)
