"""``diamond-train`` in a process that ends when its parent is gone, even if that was killed."""

from __future__ import annotations

import os
import threading

STDIN = 0


def _end_with_parent() -> None:
    while os.read(STDIN, 1):  # nobody writes to this pipe: it closes when the parent ends
        pass
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from training.entry import train

    train()
