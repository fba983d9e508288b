"""Results as flat reports for machines, and as tables, pictures and plots for people."""
