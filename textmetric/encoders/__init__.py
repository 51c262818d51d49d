"""What turns tokens into an embedding."""
