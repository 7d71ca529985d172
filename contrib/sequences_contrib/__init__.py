"""What builds on gapless numbers."""
