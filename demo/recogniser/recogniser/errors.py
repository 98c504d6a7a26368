"""What can be wrong with audio. The bare class name travels to the caller as the error type of its call."""


class AudioError(Exception):
    """The base of the errors of this package."""


class BadAudio(AudioError):
    """The data is not audio in the one format that is taken."""


class TooLong(AudioError):
    """An order goes on for longer than anybody orders."""


class NoSpeech(AudioError):
    """Nothing that the menu knows was said."""
