"""The CPU's own kernels: built, measured, and run in place of torch's."""
