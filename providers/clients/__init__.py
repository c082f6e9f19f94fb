"""Live APIs of the companies."""
