"""What makes worlds: collection, the component trainers and their commands, and evaluation."""
