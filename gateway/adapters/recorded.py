"""What was said over a link lately: an exchange to open each conversation, then one a page."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from gateway.env import Env
from gateway.observe import Transcript

EXCHANGES = 8  # ours: dialogues that a link keeps to be looked at


class Kept:
    """The last exchanges of a link. *secrets* are never shown, in the bytes that go over the wire."""

    def __init__(self, env: Env, secrets: Iterable[bytes] = ()) -> None:
        self._env = env
        self._secrets = tuple(secrets)
        self._key = env.random.getrandbits(128).to_bytes(16)
        self._exchanges: deque[Transcript] = deque(maxlen=EXCHANGES)

    def conversation(self) -> Said:
        """One more conversation begins."""
        return Said(self, self._env)

    def begin(self) -> Transcript:
        """One more exchange."""
        transcript = Transcript(self._key)
        transcript.hide_secret(*self._secrets)
        self._exchanges.append(transcript)
        return transcript

    def transcript(self) -> tuple[str, ...]:
        """See adapters.base.Recorded; oldest first."""
        return tuple(line for one in self._exchanges for line in one.lines())


class Said:
    """What is said in one conversation."""

    def __init__(self, kept: Kept, env: Env) -> None:
        self._kept = kept
        self._env = env
        self._pages: deque[tuple[tuple[bytes, ...], tuple[bytes, ...]]] = deque(maxlen=EXCHANGES)
        self.now = kept.begin()

    def page(self, words: Iterable[bytes], secrets: Iterable[bytes] = ()) -> None:
        """A page begins, whose *words* are shown by nobody; nor are those of the pages before it."""
        self._pages.append((tuple(words), tuple(secrets)))
        self.now = self._kept.begin()
        for hidden, secret in self._pages:
            self.now.hide_text(*hidden)
            self.now.hide_secret(*secret)

    def watch(self, ours: bool, data: bytes) -> None:
        """For a protocol's ``Conversation``."""
        (self.now.sent if ours else self.now.heard)(data, self._env.now())

    def transcript(self) -> tuple[str, ...]:
        """See adapters.base.Recorded: the dialogue of the last page."""
        return self.now.lines()
