"""Files that are, and files that are not, in the one format."""

import wave
from pathlib import Path

import pytest
from orders import ORDERS, path

from recogniser.engine import CHUNK_BYTES
from recogniser.errors import BadAudio, TooLong
from recogniser.wav import chunks, read


def write(file: Path, rate: int, channels: int, width: int, seconds: float = 0.1) -> Path:
    with wave.open(str(file), "wb") as out:
        out.setparams((channels, width, rate, 0, "NONE", ""))
        out.writeframes(bytes(int(rate * seconds) * channels * width))
    return file


def test_recorded_orders_are_read_whole() -> None:
    for name in ORDERS:
        audio = read(path(name))
        assert 2 * 32_000 < len(audio) < 4 * 32_000
        assert b"".join(chunks(audio)) == audio


def test_chunks_are_40_ms_and_the_last_one_is_what_is_left() -> None:
    assert [len(chunk) for chunk in chunks(bytes(3000))] == [CHUNK_BYTES, CHUNK_BYTES, 440]


@pytest.mark.parametrize(
    ("rate", "channels", "width", "found"),
    [
        (44_100, 1, 2, r"44100 Hz, 1 channel\(s\), 16 bits"),
        (8_000, 1, 2, r"8000 Hz, 1 channel\(s\), 16 bits"),
        (16_000, 2, 2, r"16000 Hz, 2 channel\(s\), 16 bits"),
        (16_000, 1, 1, r"16000 Hz, 1 channel\(s\), 8 bits"),
    ],
)
def test_another_format_is_refused_with_what_to_do(
    tmp_path: Path, rate: int, channels: int, width: int, found: str
) -> None:
    file = write(tmp_path / "order.wav", rate, channels, width)
    with pytest.raises(BadAudio, match=rf"order\.wav: {found}; 16000 Hz, one channel, 16 bits are needed \(sox "):
        read(file)


@pytest.mark.parametrize(
    "content", [b"", b"RIFF", b"no sound at all, but long enough to be looked at" * 4, b"\xff" * 64]
)
def test_what_is_no_wav_file_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "order.wav"
    file.write_bytes(content)
    with pytest.raises(BadAudio, match="no WAV file"):
        read(file)


def test_a_file_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TooLong, match="longer than 30 seconds"):
        read(write(tmp_path / "order.wav", 16_000, 1, 2, seconds=31))
