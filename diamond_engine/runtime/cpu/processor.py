"""What the operating system reports about the CPU."""

from pathlib import Path


def processor_field(field: str) -> str:
    """A field of the first processor in /proc/cpuinfo, such as ``model name``; empty where there is none."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(field)), "")
