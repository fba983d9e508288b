"""What a person touches: commands, window, input, display, recorder."""

import time

STARTED = time.perf_counter()
"""When this process came here, before anything slow is imported: the zero of ``time_to_first_frame_s``."""
