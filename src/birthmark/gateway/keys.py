"""The secret and keyring in force, and the marks of the clients met so far."""

from dataclasses import dataclass

from birthmark.gateway.codec import Codec
from birthmark.gateway.config import Config
from birthmark.gateway.dialects import codec
from birthmark.marks.keyring import Keyring
from birthmark.marks.keys import Secret, read_secret
from birthmark.watermarks.dynamarks import DynaMarks

MOST_CLIENTS = 10_000  # keys held in memory; the oldest go first and are derived again when needed


@dataclass
class Keys:
    """See the module's head."""

    secret: Secret
    ring: Keyring
    codec: Codec
    marks: dict[str, DynaMarks]

    @classmethod
    def load(cls, config: Config) -> "Keys":
        """Read key and keyring.

        Raises:
            ArtifactError: missing, damaged, or a key that others may read.
        """
        ring = Keyring.load(config.keyring)
        if config.strength != "none":
            DynaMarks(strength=config.strength, answers=config.answers)
        return cls(read_secret(config.secret), ring, codec(config.wire, ring.task), {})

    def mark(self, config: Config, client: str) -> DynaMarks:
        """The client's mark; its key is derived and checked when the client is first met."""
        if client not in self.marks:
            while len(self.marks) >= MOST_CLIENTS:
                del self.marks[next(iter(self.marks))]
            self.marks[client] = DynaMarks(
                strength=config.strength, answers=config.answers, placebos=1, key=self.ring.client(self.secret, client)
            )
        return self.marks[client]
