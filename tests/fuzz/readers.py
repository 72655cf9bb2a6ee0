"""Every reader of what strangers write, by name."""

from fuzz import artefacts, models, sealed, texts, wires
from fuzz.harness import Reader

READERS: dict[str, Reader] = {
    reader.name: reader
    for reader in (*artefacts.READERS, *texts.READERS, *models.READERS, *wires.READERS, *sealed.READERS)
}
CHILDREN = {reader.name: reader for reader in models.CHILDREN}
