"""What a ledger says that calls cost, read past the gateway from its store.

    booked.py FOLDER    the folder of the store

Prints one JSON object: for each request its lines, each as a cost in nano-dollars and the version of the price.
"""

import json
import sqlite3
import sys
from pathlib import Path

connection = sqlite3.connect(Path(sys.argv[1]) / "pointsman.db")
booked = {}
for request, cost, version in connection.execute("SELECT request, cost, price_version FROM lines ORDER BY id"):
    booked.setdefault(request, []).append([cost, f"{version:08x}"])
print(json.dumps(booked))
