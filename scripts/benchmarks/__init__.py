"""What each speed claim of the documentation was measured with: ours and the alternatives."""
