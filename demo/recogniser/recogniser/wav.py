"""Recorded orders: WAV files in the one format that the recogniser takes."""

import wave
from pathlib import Path

from .engine import CHUNK_BYTES, MAX_SECONDS, SAMPLE_BYTES, SAMPLE_RATE_HZ
from .errors import BadAudio, TooLong


def read(path: Path) -> bytes:
    """The samples of a file.

    Raises BadAudio, with a message that says what to do, when it is no WAV file of 16 kHz, one channel and 16 bits, and
    TooLong when it is longer than an order.
    """
    try:
        with wave.open(str(path), "rb") as file:
            found = (file.getframerate(), file.getnchannels(), file.getsampwidth())
            frames = file.getnframes()
            # Not more than one order can take, whatever the header promises.
            samples = file.readframes(min(frames, MAX_SECONDS * SAMPLE_RATE_HZ))
    except (wave.Error, EOFError) as error:
        raise BadAudio(f"{path}: no WAV file ({error or 'it ends too early'})") from None
    if found != (SAMPLE_RATE_HZ, 1, SAMPLE_BYTES):
        rate, channels, width = found
        raise BadAudio(
            f"{path}: {rate} Hz, {channels} channel(s), {8 * width} bits; 16000 Hz, one channel, 16 bits are needed "
            f"(sox {path} -r 16000 -c 1 -b 16 order.wav)"
        )
    if frames > MAX_SECONDS * SAMPLE_RATE_HZ:
        raise TooLong(f"{path}: longer than {MAX_SECONDS} seconds")
    return samples


def chunks(samples: bytes) -> list[bytes]:
    """Samples as they travel: 40 ms each, the last one maybe shorter."""
    return [samples[at : at + CHUNK_BYTES] for at in range(0, len(samples), CHUNK_BYTES)]
