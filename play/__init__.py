"""What a person touches: commands, window, input, display, recorder."""

import time

STARTED = time.perf_counter()
"""Start time of this process, before slow imports; ``time_to_first_frame_s`` counts from it."""
