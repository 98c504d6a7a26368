"""Recognition frame by frame: audio goes in as it comes, text comes out as soon as it changes."""

from collections.abc import Callable, Iterable
from importlib import resources

from pocketsphinx import Decoder

from .errors import BadAudio, NoSpeech, TooLong

#: The one audio format: signed 16-bit little-endian samples, one channel.
SAMPLE_RATE_HZ = 16_000
SAMPLE_BYTES = 2
#: What 40 ms of audio take.
CHUNK_BYTES = SAMPLE_RATE_HZ * SAMPLE_BYTES * 40 // 1000
#: The longest order.
MAX_SECONDS = 30

_GRAMMAR = "orders"


def _decoder() -> Decoder:
    """A decoder that knows the words of the menu and the grammar of an order, and no other language."""
    files = resources.files(__package__)
    # The lattice search after the end (bestpath) may answer with half a sentence; without it a final text is whole.
    decoder = Decoder(lm=None, dict=None, bestpath=False, samprate=float(SAMPLE_RATE_HZ), loglevel="FATAL")
    entries = [line.split(" ", 1) for line in files.joinpath("menu.dict").read_text("ascii").splitlines()]
    for word, phones in entries:
        # The last word makes the decoder's tables anew, for all of them at once.
        decoder.add_word(word, phones, word == entries[-1][0])
    decoder.add_jsgf_string(_GRAMMAR, files.joinpath("orders.gram").read_text("ascii"))
    decoder.activate_search(_GRAMMAR)
    return decoder


class Recognition:
    """One order, in one thread at a time. Each has a decoder of its own, so orders do not influence each other."""

    def __init__(self) -> None:
        self._decoder = _decoder()
        self._decoder.start_utt()
        self._bytes = 0
        #: What was understood so far.
        self.text = ""

    @property
    def seconds(self) -> float:
        """How much audio came."""
        return self._bytes / (SAMPLE_RATE_HZ * SAMPLE_BYTES)

    def feed(self, pcm: bytes) -> bool:
        """Takes the next samples; says whether `text` has changed.

        Raises BadAudio when they are not whole samples, TooLong when the order never ends.
        """
        if len(pcm) % SAMPLE_BYTES:
            raise BadAudio(f"{len(pcm)} bytes are not a whole number of 16-bit samples")
        self._bytes += len(pcm)
        if self.seconds > MAX_SECONDS:
            raise TooLong(f"an order may take {MAX_SECONDS} seconds")
        if not pcm:
            return False
        self._decoder.process_raw(pcm)
        before = self.text
        # Between words there may be no hypothesis for a moment; what was understood stands until there is a better one.
        self.text = self._hypothesis() or before
        return self.text != before

    def finish(self) -> str:
        """The final text.

        Raises NoSpeech when what was heard is no order.
        """
        self._decoder.end_utt()
        text = self._hypothesis()
        if not text:
            heard = f"{self.seconds:.1f} s of audio" if self._bytes else "no audio"
            raise NoSpeech(f"no order was recognised in {heard}")
        self.text = text
        return text

    def _hypothesis(self) -> str:
        best = self._decoder.hyp()
        return best.hypstr if best is not None else ""


def recognise(chunks: Iterable[bytes], on_partial: Callable[[str], None] = lambda _: None) -> str:
    """Recognises chunks that are all there already; for the command line and the tests."""
    recognition = Recognition()
    for chunk in chunks:
        if recognition.feed(chunk):
            on_partial(recognition.text)
    return recognition.finish()
