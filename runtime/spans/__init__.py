"""What becomes a span and what may be said in one; loaded only where traces are asked for."""
