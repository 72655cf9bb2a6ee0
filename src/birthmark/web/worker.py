"""A process that takes runs from the database and carries them out, one after the other.

It ends with the server that started it. What it leaves half done is taken up by the next worker.
"""

import os
import secrets
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from birthmark.cli.edge import fault
from birthmark.errors import BirthmarkError
from birthmark.secrets import printable
from birthmark.web.carrying import Cancelled, Carrier, carried
from birthmark.web.database import DONE, FAILED, Database
from birthmark.web.site import Site

PAUSE = 0.25  # seconds between two looks for work
PULSE = 2.0  # seconds between two signs of life


def work(site: Site, *, parent: int) -> None:
    """Carry out runs until the parent process is gone."""
    database, name = Database(site.url), secrets.token_hex(8)
    while os.getppid() == parent:
        if not one(site, database, name):
            time.sleep(PAUSE)


def one(site: Site, database: Database, worker: str) -> bool:
    """Carry out one run; False if there was none to take."""
    run = database.take(worker)
    if run is None:
        return False
    done = threading.Event()
    pulse = threading.Thread(target=_pulse, args=(database, run.id, worker, done), daemon=True)
    pulse.start()
    try:
        said = carried(Carrier(site, database, run, worker))
        database.end(run.id, worker, DONE, **said)
    except Cancelled:
        pass
    except BirthmarkError as error:
        database.end(run.id, worker, FAILED, reason=printable(str(error)))
    except Exception as error:
        database.end(run.id, worker, FAILED, reason=fault(error))
    finally:
        done.set()
        pulse.join()
    return True


def _pulse(database: Database, run: str, worker: str, done: threading.Event) -> None:
    while not done.wait(PULSE) and database.beat(run, worker):
        pass


def main(arguments: Sequence[str]) -> None:
    """`python -m birthmark.web.worker HOME DATABASE PARENT HOST ...`"""
    home, database, parent, *hosts = arguments
    work(Site(Path(home), database, hosts=tuple(hosts)), parent=int(parent))


if __name__ == "__main__":
    main(sys.argv[1:])
