"""What was measured, told: flat reports for machines, tables, pictures and plots for people."""
